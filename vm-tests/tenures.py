"""Who held the lease of `default` and when, as the voters recorded it: for `lab-history`, beside what a client saw."""

from __future__ import annotations

import json
import subprocess

from machine import RequestedAssertionFailed

RECORDED = "3daf6e340ebce2ba859961111271a64f"  # ARBITER_REGISTER
MAJORITY = 2  # of three


def tenures(voters) -> list[tuple[int, str]]:
    """When each began, by the voters' clocks, and whose it was. What one voter alone recorded was granted to nobody."""
    records: dict[tuple[int, str], dict[str, int]] = {}
    for voter in voters:
        command = ["journalctl", f"--directory={voter.root / 'var/log/journal'}", "-o", "json", "--no-pager", f"MESSAGE_ID={RECORDED}", "HOTSPARE_GROUP=default"]
        for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
            entry = json.loads(line)
            of = records.setdefault((int(entry["HOTSPARE_EPOCH"]), entry["HOTSPARE_NODE"]), {})
            at = int(entry["__REALTIME_TIMESTAMP"])
            of[voter.name] = min(of.get(voter.name, at), at)
    chosen: dict[int, tuple[int, str]] = {}
    for (epoch, holder), of in sorted(records.items()):
        if len(of) < MAJORITY:
            continue
        if epoch in chosen:
            raise RequestedAssertionFailed(f"epoch {epoch} has two holders: {chosen[epoch][1]} and {holder}")
        chosen[epoch] = (min(of.values()), holder)
    return [chosen[epoch] for epoch in sorted(chosen)]


def explain(client, voters, history: str) -> str:
    """What `client` saw fits the tenures: one order explains both."""
    order = tenures(voters)
    ends = [at for at, _ in order[1:]] + [None]
    lines = [json.dumps({"key": "default", "op": "write", "value": holder, "from": at, "to": end}) for (at, holder), end in zip(order, ends)]
    text = "\n".join(lines)
    client.succeed(f"cat >> {history} <<'END'\n{text}\nEND")
    code, said = client.execute(f"lab-history {history}", timeout=120)
    if code != 0:
        raise RequestedAssertionFailed(f"lab-history: {said.strip()}\ntenures: {order}")
    return f"{len(order)} tenures; {said.strip()}"
