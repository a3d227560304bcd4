# dbus-daemon, systemd-networkd and journald restarted or stopped, daemon-reexec, daemon-reload with the same, a broken, an empty and a changed
# file, each binary replaced and its unit restarted as a package would: no role moves. A changed file is shown as pending
# until `hotspare apply`.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
pid = alpha.get_unit_property("nginx.service", "MainPID")
client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")


def nothing_moved():
    beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
    for node in (alpha, beta):
        node.wait_until_succeeds("hotspare status | grep 'leads       alpha (epoch 1'")
    t.assertEqual(alpha.get_unit_property("nginx.service", "MainPID"), pid)
    alpha.require_unit_state("cluster-primary.target")
    beta.require_unit_state("cluster-standby.target")


for node in (alpha, beta):
    with subtest(f"{node.name}: the bus and the journal are restarted and stopped"):
        for unit in ("systemd-journald", "dbus"):
            node.succeed(f"systemctl restart {unit}")
            nothing_moved()
        node.execute("systemctl stop dbus.socket dbus.service systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service")
        nothing_moved()
        node.succeed("systemctl start systemd-journald.socket systemd-journald.service dbus.socket dbus.service")
        nothing_moved()

    with subtest(f"{node.name}: networkd takes over the interface, is restarted and stopped"):
        place = node.succeed("ip -o -4 addr show dev eth1 | grep -o 'inet 192.0.2.[0-9]/24' | cut -d' ' -f2").strip()
        node.succeed(f"printf '[Match]\\nName=eth1\\n[Network]\\nAddress={place}\\n' > /etc/systemd/network/10-eth1.network")
        for verb in ("start", "restart", "reload", "stop"):
            node.succeed(f"systemctl {verb} systemd-networkd.service")
            nothing_moved()
            if node is alpha:
                node.wait_until_succeeds("ip -o addr show to 192.0.2.100 | grep .")
        node.succeed("rm /etc/systemd/network/10-eth1.network")

    with subtest(f"{node.name}: process 1 is executed anew, and reloaded"):
        node.succeed("systemctl daemon-reexec")
        nothing_moved()
        node.succeed("systemctl daemon-reload")
        nothing_moved()

    with subtest(f"{node.name}: reloaded with a broken and with an empty file"):
        node.succeed("cp /etc/hotspare/cluster.kdl /root/good.kdl")
        for text in ("group {", ""):
            node.succeed(f"printf '{text}' > /etc/hotspare/cluster.kdl; systemctl daemon-reload")
            nothing_moved()
            node.succeed("hotspare status | grep 'pending: /etc/hotspare/cluster.kdl has mistakes'")
            node.wait_until_succeeds("journalctl -o cat --no-pager | grep 'no units are made'")
        node.succeed("cp /root/good.kdl /etc/hotspare/cluster.kdl; systemctl daemon-reload")
        nothing_moved()

    with subtest(f"{node.name}: every program is replaced and its daemon restarted"):
        for program, unit in (("hotspare-leased", "hotspare-leased"), ("hotspare-arbiter", "hotspare-arbiter"), ("hotspare-heartbeat", "hotspare-heartbeat"), ("hotspare-gate", None), ("vip-claim", None)):
            node.succeed(f"cp /usr/bin/{program} /usr/bin/{program}.new; mv /usr/bin/{program}.new /usr/bin/{program}")
            if unit:
                node.succeed(f"systemctl restart {unit}.service")
            nothing_moved()

with subtest("a lease client that is told to read a broken file stays as it is, and says so"):
    alpha.succeed("cp /etc/hotspare/cluster.kdl /run/whole.kdl; echo nonsense >> /etc/hotspare/cluster.kdl; systemctl kill -s HUP hotspare-leased")
    alpha.wait_until_succeeds("journalctl -o cat -u hotspare-leased | grep 'the configuration in force stays'")
    alpha.succeed("cp /run/whole.kdl /etc/hotspare/cluster.kdl")
    nothing_moved()

with subtest("a changed file is pending until it is applied, and what concerns the held group until it moves"):
    for node in (alpha, beta, witness):
        node.succeed("sed -i 's/hold-down \"3s\"/hold-down \"4s\"/; s|address \"2001:db8:1::100/64\" interface=\"eth1\"||' /etc/hotspare/cluster.kdl")
        node.succeed("hotspare check; systemctl daemon-reload")
        nothing_moved()
        if node is not witness:
            node.succeed("hotspare status | grep 'pending: /etc/hotspare/cluster.kdl has changed'")
        leased = node.get_unit_property("hotspare-leased.service", "MainPID")
        node.succeed("hotspare apply")
        nothing_moved()
        # It begins again in its own process: process 1, which may have too much to do, is not waited for.
        t.assertEqual(node.get_unit_property("hotspare-leased.service", "MainPID"), leased)
        node.fail("hotspare status | grep 'has changed'")
        if node is alpha:
            alpha.wait_until_succeeds("hotspare status | grep 'beta.* runs with another /etc/hotspare/cluster.kdl than this node'")
    alpha.wait_until_fails("hotspare status | grep 'runs with another'")
    beta.wait_until_fails("hotspare status | grep 'pending'")
    alpha.succeed("hotspare status | grep 'pending: default: its change waits until the role moves'")
    alpha.succeed("ip -o addr show to 2001:db8:1::100 | grep .")

with subtest("what the client saw: one node, and no gap worth the name"):
    client.succeed("systemctl stop watcher")
    import json

    seen = json.loads(client.succeed("cat /tmp/seen"))
    log.info(f"longest gap: {seen['outage_ms']:.0f} ms")
    t.assertEqual(seen["turns"], ["alpha"])

with subtest("the role moves, and the change with it"):
    beta.succeed("hotspare switchover")
    beta.wait_for_unit("cluster-primary.target")
    beta.fail("ip -o addr show to 2001:db8:1::100 | grep .")

with subtest("and when it comes back, it is the change that comes back"):
    beta.wait_for_unit("cluster-up.service")
    alpha.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    alpha.succeed("hotspare switchover")
    alpha.wait_for_unit("cluster-up.service")
    alpha.fail("ip -o addr show to 2001:db8:1::100 | grep .")
    alpha.fail("systemctl cat cluster-address-2.service")
    alpha.fail("hotspare status | grep pending")

with subtest("what was only edited, and is wrong, does not come into force because a role goes"):
    alpha.wait_until_succeeds("hotspare status | grep 'beta (ready)'")
    refreshed = alpha.get_unit_property("hotspare-refresh.service", "ExecMainStartTimestampMonotonic")
    alpha.succeed("cp /etc/hotspare/cluster.kdl /root/good.kdl; echo 'no such line' >> /etc/hotspare/cluster.kdl")
    beta.succeed("hotspare switchover")
    beta.wait_for_unit("cluster-up.service")
    alpha.wait_until_succeeds("systemctl is-active cluster-standby.target && test ! -e /run/hotspare-gate/default.kdl")
    t.assertEqual(alpha.get_unit_property("hotspare-refresh.service", "ExecMainStartTimestampMonotonic"), refreshed)
    alpha.fail("test -e /run/hotspare-stale/default")
    alpha.succeed("cp /root/good.kdl /etc/hotspare/cluster.kdl")

with subtest("a role does not come back with the units of the older configuration: the node waits for process 1, and says so"):
    alpha.succeed("systemctl stop cluster-standby.target")
    for node in (witness, alpha, beta):
        node.succeed("sed -i 's|address \"192.0.2.100/24\" interface=\"eth1\"|&; address \"2001:db8:1::100/64\" interface=\"eth1\"|' /etc/hotspare/cluster.kdl; hotspare apply")
    # It begins when somebody writes there.
    beta.succeed("mkfifo /run/wait; mkdir -p /run/systemd/system/hotspare-refresh.service.d; printf '[Service]\nExecStartPre=cat /run/wait\n' > /run/systemd/system/hotspare-refresh.service.d/wait.conf; systemctl daemon-reload")
    beta.succeed("systemctl start cluster-standby.target")
    beta.wait_until_succeeds("hotspare status | grep 'process 1 has yet to make the units of the configuration in force'")
    assert "does not stand by" in beta.fail("hotspare switchover 2>&1")
    beta.fail("systemctl start cluster-primary.target")
    beta.succeed("systemctl start cluster-standby.target; echo > /run/wait")
    beta.wait_for_unit("cluster-up.service")
    beta.succeed("ip -o addr show to 2001:db8:1::100 | grep .")
