# Something of the role forks without end on the machine that leads, in sessions of its own, deaf to SIGTERM. The lease is renewed beside it all the same;
# when the machine is cut off all of it is dead before the other node leads, and it does not reboot for that.
# lab-machines: alpha
# lab-config: outage-budget "22s"
from machine_leads import SLOW, machine_leads, turns

SLICE = "/sys/fs/cgroup/cluster.slice/cluster-default.slice"
BOMB = "use POSIX; $SIG{TERM} = q(IGNORE); while (1) { my $child = fork; POSIX::setsid() if defined $child and !$child; }"
FULL = f"test $(cat {SLICE}/bomb.service/pids.current) -ge 28"  # of thirty: one that is just being tried for counts as well
# A voter writes it anew with each renewal.
RENEWED = "cat /run/hotspare-arbiter/lab/default.json"
machine_leads(alpha, beta, witness, client)
boot = alpha.succeed("cat /proc/sys/kernel/random/boot_id")

with subtest("thirty processes fork as fast as they can, for a dozen renewals: nothing moves"):
    alpha.succeed(f"systemd-run -q --unit=bomb --slice=cluster-default.slice -p TasksMax=30 perl -e '{BOMB}'")
    alpha.wait_until_succeeds(FULL, timeout=SLOW)
    for _ in range(12):
        seen = witness.succeed(RENEWED).strip()
        witness.wait_until_fails(f"{RENEWED} | grep -xF '{seen}'", timeout=SLOW)
    assert "leads       alpha (epoch 1" in beta.succeed("hotspare status")
    alpha.wait_until_succeeds(FULL, timeout=SLOW)

with subtest("cut off: all of it is dead when the other node leads, and nobody rebooted"):
    alpha.block()
    beta.wait_for_unit("cluster-lease.service", timeout=SLOW)
    alpha.succeed(f"! grep 'populated 1' {SLICE}/cgroup.events; ! pgrep -x perl")
    alpha.wait_for_unit("cluster-standby.target", timeout=SLOW)
    t.assertEqual(alpha.succeed("cat /proc/sys/kernel/random/boot_id"), boot)
    beta.wait_for_unit("cluster-up.service", timeout=SLOW)
    alpha.unblock()
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'", timeout=SLOW)

with subtest("clients had answers from one, then from the other"):
    t.assertEqual(turns(client, beta), ["alpha", "beta"])
