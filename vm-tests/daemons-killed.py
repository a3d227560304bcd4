# hotspare-gate killed, hotspare-leased killed, both killed, on the primary: at worst a failover, and the services of the
# old primary are dead before the other side starts.
import json

start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")


def leads(node, other):
    node.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")
    other.wait_for_unit("cluster-standby.target")
    other.fail("systemctl is-active nginx.service")
    other.fail("ip -o addr show to 192.0.2.100 | grep .")
    node.wait_until_succeeds(f"hotspare status | grep '{other.name} (ready)'")


with subtest("leased killed on the primary: it takes its lease up again and nothing moves"):
    pid = alpha.get_unit_property("nginx.service", "MainPID")
    alpha.succeed("systemctl kill -s KILL hotspare-leased.service")
    alpha.wait_until_succeeds("journalctl -o cat _SYSTEMD_UNIT=hotspare-leased.service | grep 'took up the lease of epoch 1 again'")
    alpha.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")
    t.assertEqual(alpha.get_unit_property("nginx.service", "MainPID"), pid)
    assert "leads       alpha (epoch 1" in alpha.wait_until_succeeds("hotspare status")
    alpha.wait_until_succeeds("hotspare status | grep 'beta (ready)'")

with subtest("the gate killed on the primary: the role moves, in order"):
    alpha.succeed("systemctl kill -s KILL cluster-lease.service")
    leads(beta, alpha)
    assert "the gate died" in alpha.succeed("hotspare events")

with subtest("both killed on the primary"):
    beta.succeed("systemctl kill -s KILL cluster-lease.service hotspare-leased.service")
    alpha.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")
    leads(alpha, beta)

with subtest("both stopped on the primary: the watchdog or the lease's end, whichever is first"):
    alpha.succeed("systemctl kill -s STOP hotspare-leased.service")
    beta.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")
    alpha.succeed("systemctl kill -s CONT hotspare-leased.service")
    leads(beta, alpha)

with subtest("what the client saw: the nodes in turn, never two at a time"):
    client.succeed("systemctl stop watcher")
    seen = json.loads(client.succeed("cat /tmp/seen"))
    log.info(f"longest outage: {seen['outage_ms']:.0f} ms")
    t.assertEqual(seen["turns"], ["alpha", "beta", "alpha", "beta"])
