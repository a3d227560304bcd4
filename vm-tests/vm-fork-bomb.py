# Something of the role forks without end on the machine that leads, in sessions of its own, deaf to SIGTERM. The lease is renewed beside it all the same
# (decision 0039); when the machine is cut off all of it is dead before the other node leads.
# lab-machines: alpha
# lab-config: outage-budget "22s"
from machine_leads import SLOW, machine_leads, turns

SLICE = "/sys/fs/cgroup/cluster.slice/cluster-default.slice"
BOMB = "use POSIX; $SIG{TERM} = q(IGNORE); while (1) { my $child = fork; POSIX::setsid() if defined $child and !$child; }"
machine_leads(alpha, beta, witness, client)

with subtest("a hundred processes fork as fast as they can, for four leases: nothing moves"):
    alpha.succeed("grep -w cpu /sys/fs/cgroup/cgroup.subtree_control")
    alpha.succeed(f"systemd-run -q --unit=bomb --slice=cluster-default.slice -p TasksMax=100 perl -e '{BOMB}'")
    alpha.wait_until_succeeds(f"test $(cat {SLICE}/bomb.service/pids.current) -ge 95", timeout=SLOW)
    client.succeed("sleep 80")  # how long this lasts
    assert "leads       alpha (epoch 1" in beta.succeed("hotspare status")
    alpha.succeed(f"test $(cat {SLICE}/bomb.service/pids.current) -ge 95")

with subtest("cut off: the other node leads, and all of it is dead by then: where that takes too long, with the machine"):
    alpha.block()
    beta.wait_for_unit("cluster-lease.service", timeout=SLOW)
    if alpha.run("true", 10)[0] == 0:
        alpha.succeed(f"! grep 'populated 1' {SLICE}/cgroup.events; ! pgrep -x perl")
    else:
        alpha.wait_for_shutdown(timeout=SLOW)  # -no-reboot: a reset ends the emulator
        assert "reboot: Restarting system" in alpha.console.read_text(errors="replace")
        alpha.start()
    alpha.wait_for_unit("cluster-standby.target", timeout=SLOW)
    beta.wait_for_unit("cluster-up.service", timeout=SLOW)
    alpha.unblock()
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'", timeout=SLOW)

with subtest("clients had answers from one, then from the other"):
    t.assertEqual(turns(client), ["alpha", "beta"])
