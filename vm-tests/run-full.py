# /run is full to its last byte on the node that leads, where gate, lease client and voter keep what a restart needs: nothing moves, the role can be
# given away, and what cannot go on without a file says so. A node on which no gate could open is told so by `hotspare doctor`.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status | grep 'beta (ready)'")

with subtest("full: nothing moves, and each voter goes on writing down what it owes, where that was before"):
    alpha.succeed("mount -o remount,size=$(($(df --output=used -k /run | tail -n 1) + 512))k /run; ! cat /dev/zero 2> /dev/null > /run/full")
    owed = "/run/hotspare-arbiter/lab/default.json"
    for node in (alpha, alpha, witness):  # renewals
        written = node.succeed(f"cat {owed}").strip()
        node.wait_until_succeeds(f"grep . {owed} | grep -vxF '{written}'")
    alpha.fail("journalctl -o cat --no-pager -u hotspare-arbiter | grep 'cannot write'")
    assert "leads       alpha (epoch 1" in beta.succeed("hotspare status")
    assert " KiB are left: where there are none no gate can open" in alpha.fail("hotspare doctor")

with subtest("given back: handed over as ever, since what the gate kept makes room for its proof"):
    alpha.succeed("systemctl --no-block start cluster-standby.target")
    beta.wait_for_unit("cluster-up.service")
    alpha.wait_until_succeeds("journalctl -o cat --no-pager -u hotspare-leased | grep 'handed over to beta, which leads in epoch 2'")
    alpha.fail("systemctl is-active nginx.service cluster-lease.service")

with subtest("a lease client that cannot have its page says so, and is not killed by the kernel"):
    # A folder without room of its own: what others free in /run does not help.
    alpha.succeed("systemctl stop hotspare-leased; mount -t tmpfs -o size=4k tmpfs /run/hotspare; echo 1 > /run/hotspare/full")
    alpha.succeed("systemctl start --no-block hotspare-leased")
    alpha.wait_until_succeeds("journalctl -o cat --no-pager -u hotspare-leased | grep 'page.*No space left on device'")
    alpha.fail("journalctl -o cat --no-pager | grep -iE 'SIGBUS|dumped|status=.*/BUS'")
    assert "leads       beta (epoch 2" in beta.succeed("hotspare status")

with subtest("with room again it stands by, and leads when it is asked to"):
    alpha.succeed("systemctl stop hotspare-leased; umount /run/hotspare; rm /run/full; systemctl start hotspare-leased")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    beta.succeed("hotspare switchover")
    alpha.wait_for_unit("cluster-up.service")
