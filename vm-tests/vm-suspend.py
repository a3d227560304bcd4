# A machine that leads is suspended for three leases, its clocks but one standing still: the other node leads meanwhile. When it wakes up its gate
# kills what runs before anybody is answered; it has not rebooted, and it stands by.
# lab-machines: alpha
# lab-config: outage-budget "22s"
from machine_leads import SLOW, machine_leads, turns

machine_leads(alpha, beta, witness, client)
boot = alpha.succeed("cat /proc/sys/kernel/random/boot_id")

with subtest("suspended: the other node leads"):
    # Its own clock wakes it up, a minute later.
    alpha.succeed("systemd-run -q rtcwake --mode mem --seconds 60")
    beta.wait_for_unit("cluster-up.service", timeout=50)
    client.wait_until_succeeds("tail -n 1 /tmp/who | grep -x beta")

with subtest("awake again: nothing of the role runs, and it is the same boot"):
    alpha.wait_for_unit("cluster-standby.target", timeout=SLOW)
    t.assertEqual(alpha.succeed("cat /sys/power/suspend_stats/success").strip(), "1")
    t.assertEqual(alpha.succeed("cat /proc/sys/kernel/random/boot_id"), boot)
    # Not by its unit: the gate may be gone before the journal looks where a line came from.
    alpha.wait_until_succeeds("journalctl -o cat | grep 'gate: the lease is over: killing everything of the role'")
    alpha.fail("systemctl is-active nginx.service cluster-lease.service")
    alpha.fail("ip -o addr show to 192.0.2.100 | grep .")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'", timeout=SLOW)
    beta.require_unit_state("cluster-up.service")

with subtest("clients had answers from one at a time"):
    t.assertEqual(turns(client, beta), ["alpha", "beta"])
