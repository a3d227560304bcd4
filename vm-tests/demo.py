"""The demo: a cluster serves, loses its primary to a power cut, and goes on serving. What a client saw, and why."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

from cluster import Cluster
from machine import Machine

COLOUR = sys.stdout.isatty()


def paint(code: str, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def say(text: str = "") -> None:
    print(text, flush=True)


def headline(text: str) -> None:
    say()
    say(paint("1;36", f"== {text}"))


def run_shown(machine: Machine, command: str) -> None:
    say(paint("1", f"{machine.name}# {command}"))
    say(machine.succeed(command).rstrip())


def records(machine: Machine, since: float, until: float) -> list[tuple[float, str, str]]:
    """What a node's journal says of the cluster, also one that is dead by now: its files are all that is left of it."""
    folder = machine.root / "var/log/journal"
    journal = ["journalctl", f"--directory={folder}", "-o", "json", "--no-pager"]
    text = subprocess.run(journal, capture_output=True, text=True, check=False).stdout
    found = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        at = int(entry["__REALTIME_TIMESTAMP"])
        interesting = "HOTSPARE_GROUP" in entry or "HOTSPARE_ADDRESS" in entry or entry.get("HOTSPARE_STATE") == "dead"
        if interesting and since <= at <= until:
            found.append((at, machine.name, entry["MESSAGE"]))
    return found


def show(lab: Cluster, shell: str | None) -> int:
    try:
        return story(lab, shell)
    finally:
        lab.release()


def story(lab: Cluster, shell: str | None) -> int:
    alpha, beta, witness, client = (lab.machines[name] for name in ("alpha", "beta", "witness", "client"))
    headline("Three machines boot: alpha and beta run nginx, witness only votes. Nobody types anything.")
    boots = [threading.Thread(target=machine.start) for machine in lab.machines.values()]
    [boot.start() for boot in boots]
    [boot.join() for boot in boots]
    alpha.wait_for_unit("cluster-primary.target")
    beta.wait_until_succeeds("hotspare status | grep 'beta (ready)'")
    alpha.wait_until_succeeds("hotspare status | grep 'beta would lead'")
    run_shown(alpha, "hotspare status")

    headline("A client asks http://vip/who every 2 ms, all the while.")
    client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")
    run_shown(client, "curl -s http://vip/who")

    if not shell:
        headline("alpha's power is cut: no goodbye, no FIN, nothing.")
        alpha.crash()
        beta.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")
        client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who | grep -x beta")
        run_shown(client, "curl -s http://vip/who")
        run_shown(beta, "hotspare status")
    client.succeed("systemctl stop watcher")
    seen = json.loads(client.succeed("cat /tmp/seen"))

    if shell:
        shell = shell if shell in lab.machines else "alpha"  # SHELL_IN=1: any will do
        headline(f"The cluster stays up. This is {shell}; exit ends it. Try: hotspare status, hotspare switchover, hotspare events")
        leader = str(lab.machines[shell].leader)
        subprocess.run(["nsenter", "-t", leader, "-a", "env", "TERM=xterm", "HOME=/root", "bash", "-l"], check=False)
        return 0

    headline("What happened, from the journals of all nodes (alpha's was read from its disk):")
    since, until = seen["from_usec"] - 100_000, seen["to_usec"] + 400_000
    told = [entry for machine in (alpha, beta, witness) for entry in records(machine, since, until)]
    told.append((seen["from_usec"], "client", paint("1;31", "the last answer from alpha")))
    told.append((seen["to_usec"], "client", paint("1;32", "the first answer from beta")))
    for at, node, message in sorted(told):
        say(f"  {(at - seen['from_usec']) / 1000:+9.1f} ms  {node:<8} {message}")
    say()
    say(f"The client saw {paint('1', ' then '.join(seen['turns']))}, never both.")
    say(paint("1;32", f"Outage: {seen['outage_ms'] / 1000:.2f} s") + f" ({seen['answers']} answers, {seen['sent'] - seen['answers']} questions lost)")
    return 0 if seen["turns"] == ["alpha", "beta"] else 1
