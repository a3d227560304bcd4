# The machine that leads is dead and has its power: nothing gets a processor any more, process 1 and the gate least of all, or its kernel is gone. The other
# node leads when the lease is over, and the watchdog, which process 1 has stopped feeding, resets the machine, which comes back as a standby.
# lab-machines: alpha
# lab-config: outage-budget "22s"; hold-down "1s"; moves-per-hour 0
from machine_leads import SLOW, machine_leads, turns

# Two programs above everything, and nothing set aside for others (by the real-time limit, and by the server for fair tasks of Linux 6.12).
STARVE = """echo -1 > /proc/sys/kernel/sched_rt_runtime_us
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
for cpu in /sys/kernel/debug/sched/fair_server/cpu*/runtime; do echo 0 > $cpu || true; done
for n in 1 2; do setsid chrt -f 99 bash -c 'while :; do :; done' > /dev/null 2>&1 & done"""
# A kernel that has met an error of its own, and is not told to start anew.
CRASH = "echo 0 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger"
FED = "/etc/systemd/system.conf.d/watchdog.conf"


def is_armed(module: str, title: str) -> None:
    """Process 1 feeds the watchdog of this driver alone; whether it fits is said."""
    alpha.succeed(f"modprobe -r softdog i6300esb; modprobe {module}")
    alpha.wait_until_succeeds(f"hotspare status | grep 'self.*({title}) is not armed'", timeout=SLOW)
    alpha.succeed(f"mkdir -p $(dirname {FED}); printf '[Manager]\\nRuntimeWatchdogSec=30s\\n' > {FED}; systemctl daemon-reexec")
    alpha.wait_until_succeeds(f"hotspare status | grep 'self.*({title}) is armed: 30 s'", timeout=SLOW)
    assert "longer than default can wait" in alpha.succeed("hotspare explain timing")
    alpha.require_unit_state("cluster-up.service")


def is_reset(last_words: str) -> None:
    """By the watchdog, and by nobody else; it leads again in the end."""
    alpha.wait_for_shutdown(timeout=SLOW)  # -no-reboot: a reset ends the emulator
    assert last_words in alpha.console.read_text(errors="replace")
    assert "reboots the machine" not in alpha.console.read_text(errors="replace")
    alpha.start()
    alpha.wait_for_unit("cluster-standby.target", timeout=SLOW)
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'", timeout=SLOW)
    alpha.fail("journalctl -b -1 -o cat | grep 'reboots the machine'")
    alpha.succeed(f"rm {FED}; systemctl daemon-reexec; hotspare switchover")
    alpha.wait_for_unit("cluster-up.service", timeout=SLOW)


alpha.devices = ["-device", "i6300esb"]
machine_leads(alpha, beta, witness, client)
for module, title, how, last_words in (
    ("i6300esb", "i6300ESB timer", STARVE, ""),
    ("i6300esb", "i6300ESB timer", CRASH, "Kernel panic - not syncing: sysrq triggered crash"),
    ("softdog", "Software Watchdog", STARVE, "softdog: Initiating system reboot"),
):
    with subtest(f"{module}: whether a watchdog is armed is said, and whether it fits"):
        is_armed(module, title)

    with subtest("nothing runs there any more: the other node leads"):
        alpha.run(how, 1)
        beta.wait_for_unit("cluster-up.service", timeout=SLOW)

    with subtest("and the machine is reset by it, and by nobody else"):
        is_reset(last_words)

with subtest("clients had answers from one at a time"):
    t.assertEqual(turns(client, alpha), ["alpha", "beta"] * 3 + ["alpha"])
