# The primary is cut off from everyone, with a busy service that ignores SIGTERM: nothing of it runs or answers when the
# other side starts. When the cut heals it is standby. A cut on one of two networks changes nothing.
import json

for node in (alpha, beta):
    node.start()
    node.succeed("mkdir -p /etc/systemd/system/nginx.service.d")
    node.succeed("printf '[Service]\\nExecStartPost=/bin/sh -c \"trap \\\\\"\\\\\" TERM; while :; do :; done &\"\\n' > /etc/systemd/system/nginx.service.d/stubborn.conf")
    node.succeed("systemctl daemon-reload")
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")

with subtest("one network of two is cut: nothing moves"):
    alpha.block_network(2)
    beta.wait_until_succeeds("hotspare-heartbeat listen --once | grep '198.51.100.1 ' | grep dead")
    alpha.require_unit_state("cluster-primary.target")
    alpha.unblock_network(2)
    beta.wait_until_succeeds("hotspare-heartbeat listen --once | grep '198.51.100.1 ' | grep 'alive, hears us'")
    assert "leads       alpha (epoch 1" in alpha.succeed("hotspare status")

with subtest("cut off from everyone: the other side leads, and by then nothing runs here"):
    client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")
    alpha.block()
    beta.wait_for_unit("cluster-lease.service")
    alpha.fail("ip -o addr show to 192.0.2.100 | grep .")
    alpha.succeed("! grep 'populated 1' /sys/fs/cgroup/cluster.slice/cluster-default.slice/cgroup.events")
    beta.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")
    alpha.wait_for_unit("cluster-standby.target")
    alpha.wait_until_succeeds("hotspare status | grep 'no quorum: 1 of 3 voters answer'")  # they answered a moment ago
    assert "killing everything of the role" in alpha.succeed("hotspare events")

with subtest("the cut heals: it is standby"):
    alpha.unblock()
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    beta.require_unit_state("cluster-primary.target")
    client.succeed("systemctl stop watcher")
    seen = json.loads(client.succeed("cat /tmp/seen"))
    log.info(f"outage seen by the client: {seen['outage_ms']:.0f} ms")
    t.assertEqual(seen["turns"], ["alpha", "beta"])

with subtest("the arbiter is lost: nothing moves, and the standby says what that means"):
    witness.crash()
    beta.wait_until_succeeds("hotspare status | grep 'witness (silent for'")
    beta.require_unit_state("cluster-primary.target")
    alpha.wait_until_succeeds("hotspare status | grep 'beta would lose its majority and stop'")
