# The arbiter is lost: a warning and nothing else. A data node is lost as well: the survivor lets go, and says why; when the
# arbiter is back it goes on.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
for node in (alpha, beta):
    node.wait_until_succeeds("hotspare status | grep 'votes .*alpha, beta, witness (quorum)'")
pid = alpha.get_unit_property("nginx.service", "MainPID")

with subtest("the arbiter loses its power: a warning, and nothing moves"):
    since = alpha.succeed("journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p'").strip()  # at the start it was not there yet
    witness.crash()
    alpha.wait_until_succeeds(f"journalctl -o cat --no-pager --after-cursor='{since}' MESSAGE_ID=df8bb0fc8efa5771650d3e7e41abf66f PRIORITY=4 | grep 'voter witness does not answer; 2 of 3 do'")
    for node in (alpha, beta):
        node.wait_until_succeeds("hotspare status | grep 'witness (silent for'")
    t.assertEqual(alpha.get_unit_property("nginx.service", "MainPID"), pid)
    assert "leads       alpha (epoch 1" in alpha.succeed("hotspare status")
    alpha.wait_until_succeeds("hotspare status | grep 'if this node died now: nobody could lead'")  # its groups notice one by one

with subtest("its voter is restarted, and so is that of the primary: nothing moves"):
    alpha.succeed("systemctl restart hotspare-arbiter")
    alpha.wait_until_succeeds("hotspare status | grep -E 'lease 1[4-8].. of 1818 ms left'")  # both voters that are left have renewed it
    beta.succeed("systemctl restart hotspare-arbiter")
    alpha.wait_until_succeeds("hotspare status | grep 'votes       alpha, beta, '")
    t.assertEqual(alpha.get_unit_property("nginx.service", "MainPID"), pid)

with subtest("the standby is lost as well: the survivor lets go, and says why"):
    beta.crash()
    alpha.wait_for_unit("cluster-standby.target")
    alpha.fail("systemctl is-active nginx.service cluster-lease.service")
    alpha.fail("ip -o addr show to 192.0.2.100 | grep .")
    alpha.wait_until_succeeds("hotspare status | grep 'default  standby: no quorum: 1 of 3 voters answer'")
    assert "no majority of the voters renewed it in time" in alpha.succeed("hotspare events")

with subtest("the arbiter is back: it goes on"):
    witness.start()
    alpha.wait_for_unit("cluster-primary.target")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "alpha")
