# lab-config: probe "http" "http://127.0.0.1/who" interval="200ms" timeout="500ms" rise=2 fall=3; probe "exec" "/bin/sh" "-c" "test ! -e /run/sick" interval="200ms" fall=2
# A service that hangs is found by a probe: the node gives the role up with the reason and abstains, the other leads. One bad
# answer moves nothing. A role is up when its probes are good.
NGINX = "/run/systemd/system/nginx.service.d"
for node in (alpha, beta):
    node.start()
    node.succeed(f"mkdir -p {NGINX}; printf '[Service]\\nTimeoutStopSec=2\\n' > {NGINX}/stop.conf; systemctl daemon-reload")
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")

with subtest("the role is up when the probes are good, and they run as nobody in particular"):
    for unit in ("cluster-probe-1.service", "cluster-probe-2.service"):
        alpha.require_unit_state(unit)
        beta.require_unit_state(unit, "inactive")
        alpha.fail(f"test $(stat -c %u /proc/$(systemctl show -p MainPID --value {unit})) = 0")
    up = alpha.succeed("journalctl -o short-unix --no-pager | grep -E 'Started cluster-probe|is up\\.$|primary in epoch 1'")
    assert up.index("cluster-probe-2") < up.index("primary in epoch 1"), up

with subtest("one bad answer moves nothing"):
    alpha.succeed("touch /run/sick")
    alpha.wait_until_succeeds("journalctl -o cat --no-pager -u cluster-probe-2 | grep '1 of 2 in a row'")
    alpha.succeed("rm -f /run/sick")
    alpha.wait_until_succeeds("systemctl show -p StatusText --value cluster-probe-2 | grep -x good")
    assert "leads       alpha (epoch 1" in alpha.succeed("hotspare status")

with subtest("the service hangs: the probe notices, the other node leads, and this one says why"):
    alpha.succeed("systemctl kill -s STOP nginx.service")
    beta.wait_for_unit("cluster-primary.target")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "beta")
    said = alpha.succeed("journalctl -o cat --no-pager MESSAGE_ID=45d48b356a234918af6cc15555a42bb9 HOTSPARE_GROUP=default")
    assert "http http://127.0.0.1/who failed 3 times in a row" in said, said
    alpha.wait_for_unit("cluster-standby.target")
    alpha.wait_until_succeeds("hotspare status | grep 'abstains for another'")

with subtest("it never turns good elsewhere: the role stays down, loudly, until it is mended"):
    beta.succeed("touch /run/sick")
    beta.wait_until_succeeds("journalctl -o cat --no-pager MESSAGE_ID=c5d31d8b7a6c4cf39eff514a7cc2b6ff | grep .")  # NOBODY_LEFT
    beta.succeed("rm /run/sick")
    beta.succeed("hotspare switchover")
    beta.wait_for_unit("cluster-primary.target")

with subtest("what the client saw: one node at a time"):
    client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who")
    client.succeed("systemctl stop watcher")
    import json

    seen = json.loads(client.succeed("cat /tmp/seen"))
    log.info(f"turns: {seen['turns']}")
    t.assertEqual(seen["turns"][:2], ["alpha", "beta"])
