# A primary whose processes all stand still for longer than its lease: the other node leads. When it wakes up it kills what
# runs before it does anything else, does not need to reboot for that, and stands by.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
boot = alpha.succeed("cat /proc/sys/kernel/random/boot_id")

with subtest("frozen: the other node leads"):
    alpha.freeze()
    beta.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")

with subtest("awake again: nothing of the role runs, and it is the same boot"):
    alpha.thaw()
    alpha.wait_for_unit("cluster-standby.target", timeout=15)
    alpha.fail("systemctl is-active nginx.service cluster-lease.service")
    alpha.fail("ip -o addr show to 192.0.2.100 | grep .")
    t.assertEqual(alpha.succeed("cat /proc/sys/kernel/random/boot_id"), boot)
    beta.require_unit_state("cluster-primary.target")

with subtest("what claims the address wakes up before the gate does: it tells nobody that the address is here"):
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    # One line for each announcement: the kernel's own answers are to one machine.
    told = "arp[6:2] = 2 and ether broadcast and arp src host 192.0.2.100"
    client.succeed(f"systemd-run -q --unit=told -p StandardOutput=file:/tmp/told -p StandardError=journal tcpdump -Ulnei eth1 '{told}'")
    client.wait_until_succeeds("journalctl -u told | grep 'listening on'")
    mac = {node: node.succeed("ip -o link show eth1 | sed -E 's/.*ether ([^ ]*).*/\\1/'").strip() for node in (alpha, beta)}
    beta.succeed("systemctl kill -s STOP --kill-whom=main cluster-lease.service")
    beta.freeze()
    # alpha's are five in a second and one after half a minute: then one of beta's is due as well.
    client.wait_until_succeeds(f"test $(grep -c {mac[alpha]} /tmp/told) -ge 6", timeout=60)
    beta.thaw()
    beta.wait_for_unit("cluster-standby.target", timeout=30)
    client.succeed("systemctl stop told")
    t.assertNotIn(mac[beta], client.succeed(f"sed -n '/{mac[alpha]}/,$p' /tmp/told"))
