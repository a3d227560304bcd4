# The primary is powered off in an orderly way: the role is handed over first, nothing waits for an expiry, nothing hangs.
import json

start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")

with subtest("poweroff: the other node leads"):
    alpha.shutdown()
    beta.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")

with subtest("back again: standby"):
    alpha.start()
    alpha.wait_for_unit("cluster-standby.target")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    beta.require_unit_state("cluster-primary.target")

with subtest("it was handed over, and the client saw the nodes in turn"):
    said = alpha.succeed("hotspare events")
    assert "handed over to beta, which leads in epoch 2: the role was stopped here" in said, said
    client.succeed("systemctl stop watcher")
    seen = json.loads(client.succeed("cat /tmp/seen"))
    log.info(f"outage seen by the client: {seen['outage_ms']:.0f} ms")
    t.assertEqual(seen["turns"], ["alpha", "beta"])
