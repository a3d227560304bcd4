# reboot, poweroff, isolate and SIGTERM of any daemon on the primary, when nothing happens and while it is letting go: the role is
# handed over or stays, nothing hangs, and both nodes end in a role. A node in neither role says so in `status`, with the way out.
# lab-config: hold-down "1s"
import json

# More starts in ten seconds than anybody but this scenario makes: process 1 would take that for a service that fails.
STOP = "[Unit]\\nStartLimitIntervalSec=0\\n[Service]\\nExecStop=\\nExecStop=/bin/sh -c \"touch /run/stopping; test ! -e /run/hold || read go < /run/go\"\\n"


def prepare(node):
    node.succeed("mkdir -p /run/systemd/system/nginx.service.d; rm -f /run/stopping; test -p /run/go || mkfifo /run/go")
    node.succeed(f"printf '{STOP}' > /run/systemd/system/nginx.service.d/slow.conf; systemctl daemon-reload")


for node in (alpha, beta):
    node.start()
    prepare(node)
start_all()
client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")


leaders = []


def settled():
    """Exactly one leads, the other stands by ready, and the client is answered by the one that leads."""
    for node in (alpha, beta):
        node.wait_until_succeeds("test -z \"$(systemctl list-jobs --no-legend 'cluster-*')\"")
    name = client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip()
    leader, other = (alpha, beta) if name == "alpha" else (beta, alpha)
    leader.wait_for_unit("cluster-primary.target")
    other.wait_for_unit("cluster-standby.target")
    for node, verb in ((leader, "primary"), (other, "standby")):
        node.wait_until_succeeds(f"hotspare status | grep 'default  {verb}'")
        node.wait_until_succeeds("systemctl list-units --state=active --plain --no-legend cluster-primary.target cluster-standby.target | wc -l | grep -x 1")
    leader.wait_until_succeeds(f"hotspare status | grep '{other.name} (ready)'")
    leader.succeed("rm -f /run/stopping")
    if leaders[-1:] != [leader.name]:
        leaders.append(leader.name)
    return leader, other


def letting_go(leader):
    leader.succeed("touch /run/hold; systemctl start --no-block cluster-standby.target")
    leader.wait_for_file("/run/stopping")


def go_on(leader):
    """What is in the middle of its stop may go on. Nobody reads any more if something else has ended the stop."""
    leader.execute("rm -f /run/hold; timeout 5 sh -c 'echo > /run/go'")


def main_pid(node, unit):
    return node.get_unit_property(unit, "MainPID")


for moment in ("nothing happens", "it is letting go"):
    for unit in ("hotspare-leased", "hotspare-arbiter", "hotspare-heartbeat", "cluster-lease", "cluster-address-1"):
        with subtest(f"SIGTERM to {unit} on the primary while {moment}"):
            leader, other = settled()
            if moment == "it is letting go":
                letting_go(leader)
            pid = int(main_pid(leader, unit + ".service"))
            if pid > 0:  # the address has gone first
                told = "journalctl -o cat -u hotspare-leased | grep -c 'default: told to end: stays until the role is handed over' || true"
                before = int(leader.succeed(told))
                leader.execute(f"kill -TERM {pid}")
                if unit == "hotspare-leased" and moment == "it is letting go":
                    leader.wait_until_succeeds(f"test $({told}) -gt {before}")
                    leader.succeed(f"kill -0 {pid}")  # the next life of it would take the role back
            if moment == "it is letting go":
                go_on(leader)
            if moment == "nothing happens" and unit == "cluster-lease":
                leader.wait_for_unit("cluster-standby.target")  # the end of the gate is the end of the role; a daemon's is not
            elif moment == "nothing happens":
                leader.wait_until_succeeds(f"systemctl show -p MainPID --value {unit}.service | grep -vx -e 0 -e {pid}")
            after, _ = settled()
            if moment == "it is letting go":
                t.assertIs(after, other)
            elif unit != "cluster-lease":
                t.assertIs(after, leader)

    for verb in ("isolate cluster-standby.target", "isolate multi-user.target", "start cluster-primary.target"):
        with subtest(f"systemctl {verb} on the primary while {moment}"):
            leader, other = settled()
            if moment == "it is letting go":
                letting_go(leader)
                leader.execute(f"systemctl --no-block {verb}")
                go_on(leader)
            else:
                leader.execute(f"timeout 60 systemctl {verb}")
            after, _ = settled()
            if moment == "nothing happens":
                t.assertIs(after, other if "standby" in verb else leader)

    for verb in ("reboot", "poweroff"):
        with subtest(f"{verb} of the primary while {moment}"):
            leader, other = settled()
            if moment == "it is letting go":
                letting_go(leader)
            leader.succeed(f"systemctl --no-block {verb}")
            if moment == "it is letting go":
                go_on(leader)
            leader.wait_for_shutdown()
            other.wait_for_unit("cluster-primary.target")
            other.wait_until_succeeds("hotspare events | grep -E 'leads in epoch|holds? epoch|primary in epoch'")
            leader.start()
            prepare(leader)
            t.assertIs(settled()[0], other)

with subtest("neither role: status says so, and how to get out"):
    leader, other = settled()
    leader.succeed("systemctl stop cluster-primary.target")
    leader.wait_until_succeeds("hotspare status | grep 'off: neither role is active here (systemctl start the standby target)'")
    other.wait_for_unit("cluster-primary.target")
    leader.succeed("systemctl start cluster-standby.target")
    settled()

with subtest("what the client saw: one node at a time, in turn"):
    client.succeed("systemctl stop watcher")
    seen = json.loads(client.succeed("cat /tmp/seen"))
    log.info(f"turns: {len(seen['turns'])}, longest outage {seen['outage_ms']:.0f} ms")
    t.assertEqual(seen["turns"], leaders)
