"""Reads the journals of all scenarios back: every kind of record that the catalog explains, with the fields that it names."""

from __future__ import annotations

import json
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What no machine of this lab can leave behind, and why.
UNSEEN = {
    "VOLUME_DISK": "no disk of this lab can be made to fail; the decision has unit tests",
    "PILL": "the machine is rebooting when it is written; the other node's record of the proof is there",
    "GATE_SELF_FENCE": "the machine is rebooting when it is written; needs something unkillable",
}


def catalog() -> dict[str, set[str]]:
    """Message id to the fields that its text names."""
    text = (HERE.parent / "units/catalog/hotspare.catalog").read_text()
    entries = re.split(r"^-- ([0-9a-f]{32})$", text, flags=re.MULTILINE)[1:]
    return {entries[n]: set(re.findall(r"@([A-Z_]+)@", entries[n + 1])) for n in range(0, len(entries), 2)}


def names() -> dict[str, str]:
    """Message id to its name in the source."""
    text = (HERE.parent / "crates/daemon/src/message_id.rs").read_text()
    return {found[2]: found[1] for found in re.finditer(r'pub const ([A-Z_]+): &str = "([0-9a-f]{32})"', text)}


class Records:
    def __init__(self) -> None:
        self.catalog, self.names = catalog(), names()
        self.seen: set[str] = set()

    def read_back(self, machines) -> None:
        """Takes in what the machines that still run have written; a record without a field that its text names is a mistake."""
        match = " ".join(f"MESSAGE_ID={message_id}" for message_id in self.names)
        for machine in machines:
            if not machine.process:
                continue
            status, text = machine.run(f"journalctl --no-pager --quiet --all -o json {match}", 20)
            for line in text.splitlines() if status == 0 else []:
                if not line.startswith("{"):
                    continue
                record = json.loads(line)
                message_id = record["MESSAGE_ID"]
                missing = {field for field in self.catalog[message_id] if field not in record}
                if missing or not record.get("MESSAGE"):
                    raise AssertionError(f"{machine.name}: {self.names[message_id]} lacks {missing}: {record.get('MESSAGE')}")
                self.seen.add(message_id)

    def unseen(self) -> list[str]:
        """Kinds of records that nothing has made."""
        return sorted(name for message_id, name in self.names.items() if message_id not in self.seen and name not in UNSEEN)
