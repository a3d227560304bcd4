# Nothing on the machine that leads gets a processor any more, its process 1 and its gate least of all: the other node leads when the lease is over, and
# the watchdog, which process 1 has stopped feeding, resets the machine, which comes back as a standby.
# lab-machines: alpha
# lab-config: outage-budget "22s"
from machine_leads import SLOW, machine_leads, turns

# Two programs above everything, and nothing set aside for others (by the real-time limit, and by the server for fair tasks of Linux 6.12).
STARVE = """echo -1 > /proc/sys/kernel/sched_rt_runtime_us
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
for cpu in /sys/kernel/debug/sched/fair_server/cpu*/runtime; do echo 0 > $cpu || true; done
for n in 1 2; do setsid chrt -f 99 bash -c 'while :; do :; done' > /dev/null 2>&1 & done"""
alpha.devices = ["-device", "i6300esb"]  # -no-reboot: a reset ends the emulator
machine_leads(alpha, beta, witness, client)

with subtest("whether a watchdog is armed is said, and whether it fits"):
    alpha.succeed("modprobe -r softdog; modprobe i6300esb")
    alpha.wait_until_succeeds("hotspare status | grep 'self.*(i6300ESB timer) is not armed'", timeout=SLOW)
    alpha.succeed("mkdir -p /etc/systemd/system.conf.d; printf '[Manager]\\nRuntimeWatchdogSec=30s\\n' > /etc/systemd/system.conf.d/watchdog.conf; systemctl daemon-reexec")
    alpha.wait_until_succeeds("hotspare status | grep 'self.*is armed: 30 s'", timeout=SLOW)
    assert "longer than default can wait" in alpha.succeed("hotspare explain timing")
    alpha.require_unit_state("cluster-up.service")

with subtest("nothing runs there any more: the other node leads"):
    alpha.run(STARVE, 1)
    beta.wait_for_unit("cluster-up.service", timeout=SLOW)

with subtest("and the machine is reset by it, and by nobody else"):
    alpha.wait_for_shutdown(timeout=SLOW)
    alpha.start()
    alpha.wait_for_unit("cluster-standby.target", timeout=SLOW)
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'", timeout=SLOW)
    alpha.fail("journalctl -b -1 -o cat | grep 'reboots the machine'")
    alpha.succeed("rm /etc/systemd/system.conf.d/watchdog.conf; systemctl daemon-reexec; hotspare switchover")
    alpha.wait_for_unit("cluster-up.service", timeout=SLOW)

with subtest("clients had answers from one at a time"):
    t.assertEqual(turns(client), ["alpha", "beta", "alpha"])
