# The user's service is enabled in multi-user.target and the standby reboots; it is started there by hand, by a socket,
# by a timer: no role moves and the boot finishes. Starting multi-user.target and daemon-reload on the primary: the same.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_for_unit("cluster-standby.target")
pid = alpha.get_unit_property("nginx.service", "MainPID")


def nothing_moved():
    alpha.require_unit_state("cluster-primary.target")
    t.assertEqual(alpha.get_unit_property("nginx.service", "MainPID"), pid)
    beta.require_unit_state("cluster-standby.target")
    beta.fail("systemctl is-active nginx.service cluster-lease.service")
    assert "leads       alpha (epoch 1" in alpha.succeed("hotspare status")


with subtest("the standby reboots with the service enabled"):
    t.assertEqual(beta.succeed("systemctl is-enabled nginx.service").strip(), "enabled")
    beta.reboot()
    beta.wait_for_unit("cluster-standby.target")
    beta.wait_for_unit("multi-user.target")
    t.assertEqual(beta.succeed("systemctl is-system-running || true").strip(), "running")
    beta.wait_until_succeeds("hotspare status | grep 'beta (ready)'")
    nothing_moved()

with subtest("started by hand"):
    beta.fail("systemctl start nginx.service")
    nothing_moved()

with subtest("started by a timer"):
    beta.succeed("systemd-run -q --on-active=0 --timer-property=AccuracySec=1ms --unit=fires true")
    beta.succeed("printf '[Timer]\\nOnActiveSec=0\\nAccuracySec=1ms\\nUnit=nginx.service\\n' > /run/systemd/system/web.timer")
    beta.succeed("systemctl daemon-reload; systemctl start web.timer")
    beta.wait_until_succeeds("systemctl show -p SubState --value web.timer | grep -x elapsed")
    nothing_moved()

with subtest("started by a socket"):
    beta.succeed("printf '[Socket]\\nListenStream=127.0.0.1:8080\\nService=nginx.service\\n' > /run/systemd/system/web.socket")
    beta.succeed("systemctl daemon-reload; systemctl start web.socket")
    beta.execute("nc -w 1 127.0.0.1 8080 < /dev/null")
    nothing_moved()
    beta.succeed("systemctl stop web.socket web.timer; rm /run/systemd/system/web.*; systemctl daemon-reload")

with subtest("multi-user.target and default.target are started on the primary, and it is reloaded"):
    alpha.succeed("systemctl start multi-user.target default.target")
    alpha.succeed("systemctl daemon-reload")
    nothing_moved()

with subtest("reloaded with a broken file: the held group keeps its units"):
    alpha.succeed("cp /etc/hotspare/cluster.kdl /root/good.kdl; echo 'group {' >> /etc/hotspare/cluster.kdl")
    alpha.succeed("systemctl daemon-reload")
    nothing_moved()
    assert "AssertPathExists=/run/hotspare-gate/default.open" in alpha.succeed("systemctl cat nginx.service")
    alpha.succeed("cp /root/good.kdl /etc/hotspare/cluster.kdl; systemctl daemon-reload")
    nothing_moved()
