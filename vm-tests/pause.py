# Paused on one node, nothing moves by itself on any, also after a reboot and a power cut; an operator still moves it.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")

with subtest("every candidate hears of it, and keeps its lease"):
    beta.succeed("hotspare pause")
    alpha.wait_until_succeeds("hotspare status | grep '^paused: nothing moves by itself'")
    alpha.require_unit_state("cluster-primary.target")

with subtest("a restarted daemon and a rebooted standby remember"):
    alpha.succeed("systemctl restart hotspare-leased")
    alpha.wait_until_succeeds("hotspare status | grep '^paused: nothing moves by itself'")
    beta.reboot()
    beta.wait_until_succeeds("hotspare status | grep '^paused: nothing moves by itself'")

with subtest("the primary loses its power: nobody takes over"):
    alpha.crash()
    beta.wait_until_succeeds("hotspare status | grep 'leads       nobody'")
    beta.wait_until_succeeds("hotspare-heartbeat listen --once | grep '192.0.2.1 ' | grep dead")
    beta.require_unit_state("cluster-standby.target")
    beta.fail("systemctl is-active cluster-lease.service")

with subtest("an operator moves it all the same"):
    beta.succeed("hotspare switchover")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "beta")

with subtest("resumed, it moves again"):
    alpha.start()
    alpha.wait_until_succeeds("hotspare status | grep '^paused: nothing moves by itself'")
    alpha.wait_for_unit("cluster-standby.target")
    alpha.succeed("hotspare resume")
    beta.wait_until_fails("hotspare status | grep '^paused'")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    beta.crash()
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "alpha")

with subtest("a service fails for good while paused: it stays down, and nobody forgets, not even a restarted daemon"):
    beta.start()
    beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
    alpha.succeed("hotspare pause; mkdir -p /run/systemd/system/nginx.service.d; printf '[Service]\\nRestart=no\\n' > /run/systemd/system/nginx.service.d/no.conf; systemctl daemon-reload")
    alpha.succeed("systemctl kill -s KILL nginx.service")
    alpha.wait_until_succeeds("hotspare events | grep 'moves are paused, so it stays down'")
    alpha.succeed("systemctl restart hotspare-leased")
    alpha.wait_until_succeeds("hotspare events | grep -c 'moves are paused, so it stays down' | grep -x 2")
    alpha.require_unit_state("cluster-primary.target")
    beta.require_unit_state("cluster-standby.target")

with subtest("resumed, the group moves; mended meanwhile, it would not have"):
    beta.wait_until_succeeds("hotspare status | grep '^paused'")
    alpha.succeed("hotspare resume")
    beta.wait_for_unit("cluster-primary.target")
    beta.wait_until_fails("hotspare status | grep '^paused'")
    beta.succeed("hotspare pause; systemctl kill -s KILL --kill-whom=main nginx.service")
    beta.execute("systemctl reset-failed nginx.service; systemctl start nginx.service")
    looked = "(journalctl --no-pager -o cat -u hotspare-leased.service | grep -c 'default: no unit of the role has failed' || true)"
    before = int(beta.succeed(looked))
    beta.succeed("hotspare resume")
    beta.wait_until_succeeds(f"{looked} | grep -x {before + 1}")
    beta.succeed("systemctl is-active cluster-primary.target nginx.service")
