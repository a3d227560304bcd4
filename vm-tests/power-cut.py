# The primary loses its power: the standby serves, and nobody else is needed. Power returns: nothing fails back by
# itself, and the returning node stands by.
import json

start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")

with subtest("power cut: the standby takes over"):
    alpha.crash()
    beta.wait_for_unit("cluster-primary.target")
    client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who | grep -x beta")
    client.wait_until_succeeds("curl -sf --max-time 1 http://vip6/who | grep -x beta")

with subtest("power returns: nothing moves"):
    alpha.start()
    alpha.wait_for_unit("cluster-standby.target")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    beta.require_unit_state("cluster-primary.target")
    alpha.fail("systemctl is-active nginx.service cluster-lease.service")
    assert "leads       beta (epoch 2" in alpha.succeed("hotspare status")

with subtest("what the client saw: one node, then the other, and never both"):
    client.succeed("systemctl stop watcher")
    seen = json.loads(client.succeed("cat /tmp/seen"))
    log.info(f"outage seen by the client: {seen['outage_ms']:.0f} ms")
    t.assertEqual(seen["turns"], ["alpha", "beta"])

with subtest("the journal says why, in fields"):
    record = beta.succeed("hotspare events --json | grep '\"HOTSPARE_EPOCH\":\"2\"' | grep HOTSPARE_TOOK_USEC | head -n 1")
    t.assertEqual(json.loads(record)["HOTSPARE_GROUP"], "default")
    beta.wait_until_succeeds("hotspare status | grep 'alpha would lead within'")
