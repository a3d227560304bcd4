"""What a client sees of a fault, for hotspare and for keepalived, in the same run on the same machines: `make bench RUNS=20`.

Outage: the longest gap between two answers to a client that asks every 2 ms. Prints a Markdown table for docs/benchmarks.md.
Nothing here is a test: machines differ, and this one should be quiet.
"""

from __future__ import annotations

import json
import os
import statistics
import time

VRRP = """vrrp_instance web {{
    state BACKUP
    nopreempt
    interface eth1
    virtual_router_id 51
    priority {priority}
    advert_int {every}
    virtual_ipaddress {{
        192.0.2.100/24
    }}
}}
"""


def vrrp(every: str) -> dict[str, str]:
    version = "global_defs {\n    vrrp_version 3\n}\n"
    return {name: version + VRRP.format(priority=priority, every=every) for name, priority in (("alpha", 150), ("beta", 100))}


# The role moves more often in a benchmark than it should in an hour.
STACKS = [
    ("hotspare, default (lease 1.8 s, quorum)", "moves-per-hour 0", None),
    ('hotspare, outage-budget "550ms" (lease 0.5 s, quorum)', 'moves-per-hour 0; outage-budget "550ms"', None),
    ("keepalived, default (adverts 1 s, no quorum)", "", vrrp("1")),
    ("keepalived, adverts 0.1 s (no quorum)", "", vrrp("0.1")),
]


class Bench:
    def __init__(self, lab, ours: bool) -> None:
        self.lab, self.ours = lab, ours
        self.added: list[float] = []
        self.alpha, self.beta, self.client = (lab.machines[name] for name in ("alpha", "beta", "client"))

    def who(self) -> str:
        return self.client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who", timeout=60).strip()

    def settled(self) -> tuple:
        """Who leads, and who is ready to follow."""
        leader = self.who()
        one, other = (self.alpha, self.beta) if leader == "alpha" else (self.beta, self.alpha)
        if self.ours:
            one.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'", timeout=60)
            one.wait_until_succeeds(f"hotspare status | grep '{other.name} (ready)'", timeout=60)
        else:
            other.wait_until_succeeds("systemctl is-active keepalived nginx", timeout=60)
            other.wait_until_succeeds("journalctl -o cat -u keepalived | grep 'Entering BACKUP STATE'", timeout=60)
        return one, other

    def watched(self, fault, other) -> float:
        self.client.succeed("systemd-run -q --collect --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")
        fault()
        self.answers(other)
        self.client.succeed("systemctl stop watcher")
        return json.loads(self.client.succeed("cat /tmp/seen"))["outage_ms"]

    def answers(self, node) -> None:
        self.client.wait_until_succeeds(f"curl -sf --max-time 1 http://vip/who | grep -x {node.name}", timeout=90)

    def power(self) -> float:
        one, other = self.settled()
        took = self.watched(one.crash, other)
        if self.ours:
            self.added.append(took - self.start_of(other))
        one.start()
        one.wait_booted()
        return took

    def healed(self) -> float:
        """A primary that was cut off, and is not any more: what clients see from then on."""
        one, other = self.settled()
        one.block()
        self.answers(other)

        def heals() -> None:
            one.unblock()
            if self.ours:
                other.wait_until_succeeds(f"hotspare status | grep '{one.name} (ready)'", timeout=60)
            else:
                self.beta.wait_until_fails("ip -4 address show eth1 | grep 192.0.2.100", timeout=60)  # alpha has the higher priority

        return self.watched(heals, other if self.ours else self.alpha)

    def planned(self) -> float:
        one, other = self.settled()
        if self.ours:
            took = self.watched(lambda: one.succeed("hotspare switchover"), other)
            self.added.append(took - self.lasted(one, "ActiveExit", "InactiveEnter") - self.start_of(other))
            return took
        took = self.watched(lambda: one.succeed("systemctl stop keepalived"), other)
        one.succeed("systemctl start keepalived")
        return took

    def start_of(self, node) -> float:
        return self.lasted(node, "InactiveExit", "ActiveEnter")

    def lasted(self, node, begin: str, end: str) -> float:
        """Milliseconds that the service took for itself."""
        first, last = (int(node.succeed(f"systemctl show -P {name}TimestampMonotonic nginx")) for name in (begin, end))
        return (last - first) / 1000

    def killed_once(self) -> float:
        one, _ = self.settled()
        return self.watched(lambda: one.succeed("systemctl kill -s KILL --kill-whom=main nginx"), one)

    def footprint(self) -> str:
        one, _ = self.settled()
        script = """
        pids=$(systemctl show -p MainPID --value hotspare-leased hotspare-arbiter hotspare-heartbeat cluster-lease cluster-address-1 cluster-address-2 | grep .)
        ran() { for pid in $pids; do cat /proc/$pid/task/*/schedstat; done | awk '{sum += $1} END {printf "%d", sum / 1000}'; }
        before=$(ran); sleep 60; after=$(ran)
        rss=$(for pid in $pids; do awk '/RssAnon/ {print $2}' /proc/$pid/status; done | paste -sd+); echo $(($rss)) $(($after - $before))
        """
        rss, ran = one.succeed(script).split()
        return f"{int(rss) / 1024:.1f} MB private memory, {int(ran) / 60e4:.2f} % of a core while idle and leading (6 processes)"


def run(make, runs: int) -> int:
    print(f"bench: {runs} runs each, load {os.getloadavg()[0]:.2f} at the start", flush=True)
    rows, notes = [], []
    for name, more, peer in STACKS:
        lab = make(f"    {more}\n" if more else "", peer)
        bench = Bench(lab, peer is None)
        try:
            for machine in lab.machines.values():
                machine.start()
            if peer is None:
                restart = "[Unit]\\nStartLimitIntervalSec=0\\n[Service]\\nRestart=on-failure\\nRestartSec=10ms\\n"
                for node in (bench.alpha, bench.beta):
                    node.succeed(f"mkdir -p /etc/systemd/system/nginx.service.d; printf '{restart}' > /etc/systemd/system/nginx.service.d/restart.conf; systemctl daemon-reload")
            kinds = [("power cut", bench.power), ("planned move", bench.planned)]
            if peer is None:
                kinds.append(("service killed once", bench.killed_once))
            kinds.append(("after a primary that was cut off is heard again", bench.healed))
            for kind, measure in kinds:
                began = time.monotonic()
                # Clients of keepalived may go on for most of a minute by what they last heard of the address.
                times = min(runs, 3) if peer and measure == bench.healed else runs
                took = sorted(measure() for _ in range(times))
                row = f"| {name} | {kind} | {statistics.median(took):.0f} | {took[-1]:.0f} | {took[0]:.0f} | {times} |"
                print(f"{row} ({time.monotonic() - began:.0f} s)", flush=True)
                rows.append(row)
                if bench.added:
                    more_took, bench.added = sorted(bench.added), []
                    row = f"| {name} | of that, without what nginx took for itself | {statistics.median(more_took):.0f} | {more_took[-1]:.0f} | {more_took[0]:.0f} | {runs} |"
                    print(row, flush=True)
                    rows.append(row)
            if peer is None and not notes:
                notes.append(bench.footprint())
                print(notes[-1], flush=True)
            versions = bench.alpha.succeed("keepalived --version 2>&1 | sed -n 1p; systemctl --version | sed -n 1p; uname -r")
        finally:
            lab.release()
    print("\n| stack | fault | median ms | maximum | minimum | runs |\n|---|---|---|---|---|---|")
    print("\n".join(rows))
    print("\n".join(["", *notes, *versions.splitlines(), f"load {os.getloadavg()[0]:.2f} at the end"]))
    return 0
