# /run is full to its last byte on the node that leads, where gate, lease client and voter keep what a restart needs: nothing moves, the role can be
# given away, and what cannot go on without a file says so. A node on which no gate could open is told so by `hotspare doctor`.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status | grep 'beta (ready)'")

with subtest("full: nothing moves, and the voter says what a restart would cost"):
    alpha.succeed("mount -o remount,size=$(($(df --output=used -k /run | tail -n 1) + 512))k /run; ! cat /dev/zero 2> /dev/null > /run/full")
    alpha.wait_until_succeeds("journalctl -o cat --no-pager -u hotspare-arbiter | grep 'default.json.*a restart of the arbiter will wait for a whole lease'")
    assert "leads       alpha (epoch 1" in beta.succeed("hotspare status")
    assert " KiB are left: no gate can open here" in alpha.fail("hotspare doctor")

with subtest("given back: handed over as ever, since what the gate kept makes room for its proof"):
    alpha.succeed("systemctl --no-block start cluster-standby.target")
    beta.wait_for_unit("cluster-up.service")
    alpha.wait_until_succeeds("journalctl -o cat --no-pager -u hotspare-leased | grep 'handed over to beta, which leads in epoch 2'")
    alpha.fail("systemctl is-active nginx.service cluster-lease.service")

with subtest("a lease client that cannot have its page says so, and is not killed by the kernel"):
    # What anybody frees is taken at once.
    alpha.succeed("systemd-run -q --unit=greedy sh -c 'while :; do cat /dev/zero >> /run/full 2> /dev/null; sleep 0.01; done'; systemctl stop hotspare-leased")
    alpha.succeed("rm /run/hotspare/default.page")
    alpha.wait_until_succeeds("df --output=avail /run | grep -x \" *0\"")
    alpha.succeed("systemctl start --no-block hotspare-leased")
    alpha.wait_until_succeeds("journalctl -o cat --no-pager -u hotspare-leased | grep 'default.page.*No space left on device'")
    alpha.fail("journalctl -o cat --no-pager | grep -iE 'SIGBUS|dumped|status=.*/BUS'")
    assert "leads       beta (epoch 2" in beta.succeed("hotspare status")

with subtest("with room again it stands by, and leads when it is asked to"):
    alpha.succeed("systemctl stop greedy; rm -f /run/full")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    beta.succeed("hotspare switchover")
    alpha.wait_for_unit("cluster-up.service")
    said = alpha.succeed("journalctl -o cat --no-pager -u hotspare-arbiter | grep default.json")
    t.assertEqual(said.count("will wait for a whole lease"), said.count("is written again"))  # not with every renewal
