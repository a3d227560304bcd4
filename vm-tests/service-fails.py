# A service that fails once is restarted by systemd and nothing moves. One that fails for good moves the group: the node gives
# up with the reason and abstains. When it fails on every candidate the group stays down, with one loud record.
for node in (alpha, beta):
    node.start()
    node.succeed("mkdir -p /run/systemd/system/nginx.service.d")
    # Starts unless /run/broken is there; a crash is restarted, twice at most.
    node.succeed("printf '[Unit]\\nStartLimitIntervalSec=60\\nStartLimitBurst=3\\n[Service]\\nExecStartPre=/bin/sh -c \"! test -e /run/broken\"\\nRestart=on-failure\\nRestartSec=10ms\\n' > /run/systemd/system/nginx.service.d/crash.conf")
    node.succeed("systemctl daemon-reload")
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")


def record(node, message_id):
    return node.succeed(f"journalctl -o cat --no-pager MESSAGE_ID={message_id} HOTSPARE_GROUP=default")


with subtest("it crashes once: systemd restarts it and nothing moves"):
    pid = alpha.get_unit_property("nginx.service", "MainPID")
    # Process 1 is in no hurry with its timers: it is woken when the restart is due.
    alpha.succeed("systemd-run -q --unit=pings -p StandardOutput=file:/run/pings busctl monitor --match \"interface='org.freedesktop.DBus.Peer',member='Ping'\"")
    alpha.wait_until_succeeds("grep 'Monitoring bus' /run/pings")
    alpha.succeed("systemctl kill -s KILL --kill-whom=main nginx.service")
    alpha.wait_until_succeeds(f"systemctl show -p MainPID --value nginx.service | grep -vx -e 0 -e {pid}")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "alpha")
    assert "leads       alpha (epoch 1" in alpha.succeed("hotspare status")
    alpha.wait_until_succeeds("grep 'Destination=org.freedesktop.systemd1 .*Member=Ping' /run/pings")

with subtest("it fails for good: the other node leads, and this one abstains, with the reason"):
    alpha.succeed("touch /run/broken; systemctl kill -s KILL --kill-whom=main nginx.service")
    beta.wait_for_unit("cluster-primary.target")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "beta")
    alpha.wait_for_unit("cluster-standby.target")
    alpha.wait_until_succeeds("hotspare status | grep 'abstains for another'")
    assert "a service failed for good" in record(alpha, "d6e9763a997aade6c241ccbb80547ed6")  # YIELDING
    assert "will not take the role by itself for 60 s" in record(alpha, "722bdb91a804d5f455e69f55f374a536")  # ABSTAINS

with subtest("and on the last candidate: the group stays down, loudly"):
    beta.succeed("touch /run/broken; systemctl kill -s KILL --kill-whom=main nginx.service")
    beta.wait_until_succeeds("journalctl -o cat --no-pager MESSAGE_ID=c5d31d8b7a6c4cf39eff514a7cc2b6ff | grep .")  # NOBODY_LEFT
    t.assertEqual(record(beta, "c5d31d8b7a6c4cf39eff514a7cc2b6ff").count("the group stays down"), 1)
    beta.wait_until_succeeds("hotspare status | grep 'leads       nobody'")
    client.fail("curl -sf --max-time 1 http://vip/who")

with subtest("mended, an operator brings it back at once"):
    alpha.succeed("rm /run/broken; systemctl reset-failed nginx.service")
    alpha.succeed("hotspare switchover")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "alpha")
