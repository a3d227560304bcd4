# The simulator's model of process 1 is held to a list of cases; this holds the real process 1 to the same list, with the very
# units that the model reads (tests/golden/03-socket-and-standby), whose programs are replaced by sleeps.
SHARE = "/usr/share/hotspare-lab"
STUBS = {
    "cluster-lease.service": "Type=notify\\nNotifyAccess=all\\nExecStart=\\nExecStart=/bin/sh -c \\'touch /run/hotspare-gate/default.open; systemd-notify --ready; exec sleep infinity\\'\\nExecStopPost=\\nExecStopPost=rm -f /run/hotspare-gate/default.open\\nWatchdogSec=0",
    "cluster-prove.service": "NotifyAccess=none\\nExecStart=\\nExecStart=true",
    "cluster-up.service": "ExecStart=\\nExecStart=true",
    "cluster-address-1.service": "Type=exec\\nExecStart=\\nExecStart=sleep infinity\\nRestart=no\\nWatchdogSec=0",
    "hotspare-enter.service": "ConditionPathExists=\\nExecStart=\\nExecStart=true",
}
OWN = {
    "web.service": "[Service]\\nExecStart=sleep infinity\\nExecStop=/bin/sh -c \\'test ! -e /run/slow || read go < /run/go\\'\\n[Install]\\nWantedBy=multi-user.target\\n",
    "web.socket": "[Socket]\\nListenStream=/run/web.sock\\n",
    "nightly.timer": "[Timer]\\nOnCalendar=daily\\n",
    "nightly.service": "[Service]\\nExecStart=true\\n",
    "replica.service": "[Service]\\nExecStart=sleep infinity\\n",
    "hotspare-giveup@.service": "[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=true\\n",
}
client.start()
client.succeed(f"cp -r {SHARE}/units/. /etc/systemd/system; rm -rf /etc/systemd/system/hotspare-leased.service.d; mkdir -p /run/hotspare-gate; mkfifo /run/go")
client.succeed("rm -f /etc/systemd/system/cluster-take.path /etc/systemd/system/cluster-yield.path")
for unit, lines in STUBS.items():
    client.succeed(f"mkdir -p /etc/systemd/system/{unit}.d; printf $'[Service]\\n{lines}\\n' > /etc/systemd/system/{unit}.d/stub.conf")
for unit, text in OWN.items():
    client.succeed(f"rm -f /etc/systemd/system/{unit}; printf $'{text}' > /etc/systemd/system/{unit}")
client.succeed("systemctl daemon-reload; systemctl enable web.service")

cases = []
for line in client.succeed(f"cat {SHARE}/jobs.txt").splitlines():
    if not line or line.startswith("#"):
        continue
    if not line.startswith("    "):
        cases.append([line, [], set(), set()])
        continue
    step, _, after = line.strip().partition("=>")
    cases[-1][1].append(step.split())
    words = set(after.split())
    cases[-1][3] |= {word[1:-1] for word in words if word.startswith("[")}
    cases[-1][2] |= {word for word in words if not word.startswith("[")}
named = sorted(set().union(*(active | failed for _, _, active, failed in cases)))
t.assertGreater(len(cases), 15)


def quiet():
    client.wait_until_succeeds("systemctl list-jobs --no-legend | wc -l | grep -x 0")


wrong = []
for name, steps, active, failed in cases:
    with subtest(name):
        client.execute("rm -f /run/slow; systemctl stop cluster-primary.target cluster-standby.target cluster-lease.service cluster-prove.service hotspare-giveup@default.service")
        quiet()
        client.execute("systemctl kill -s KILL web.service replica.service; systemctl reset-failed; rm -f /run/hotspare-gate/default.open")
        client.succeed("systemctl start multi-user.target")
        quiet()
        held = False
        for verb, unit in steps:
            if verb == "kill":
                client.succeed(f"kill -KILL $(systemctl show -p MainPID --value {unit})")
                client.wait_until_fails(f"systemctl is-active {unit}")
            elif verb == "begin-stop":
                client.succeed(f"touch /run/slow; systemctl start --no-block {unit}")
                client.wait_until_succeeds("systemctl show -p ActiveState --value web.service | grep -x deactivating")
                held = True
            elif held:  # in the middle of the stop, which then goes on
                client.execute(f"systemctl --no-block {verb} {unit}; rm -f /run/slow; timeout 10 sh -c 'echo > /run/go'")
            else:
                client.execute(f"systemctl {verb} {unit}")
            if verb != "begin-stop":
                held = False
                quiet()
        states = dict(zip(named, client.succeed("for unit in " + " ".join(named) + "; do systemctl show -p ActiveState --value $unit; done").split()))
        found = ({unit for unit in named if states[unit] == "active"}, {unit for unit in named if states[unit] == "failed"})
        if found != (active, failed):
            wrong.append(f"{name}: active {sorted(found[0])}, wanted {sorted(active)}; failed {sorted(found[1])}, wanted {sorted(failed)}")
t.assertEqual(wrong, [])
