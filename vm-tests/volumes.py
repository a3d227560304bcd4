"""What scenarios about volumes ask of a node: a writer of numbered records (tests/lab/volume.rs), and how far it was answered."""

from __future__ import annotations

SOCKET = "/run/hotspare-replicate/data.nbd"
WRITER = f"""[Unit]
Description=A user of the volume
[Service]
ExecStartPre=/usr/bin/lab-volume find {SOCKET} /var/lib/acknowledged
ExecStart=/usr/bin/lab-volume write {SOCKET} /var/lib/acknowledged
"""
REGISTER = f"""[Unit]
Description=Numbers on the volume, for whoever asks over the network
[Service]
Type=notify
ExecStart=/usr/bin/lab-register serve {SOCKET} 7000
Restart=on-failure
RestartSec=100ms
"""


def wait_equal(node, other, ready: bool = True, timeout: int = 60, volume: str = "data") -> None:
    """The copy on `other` counts and is equal, by the word of `node`, which leads."""
    want = f'[.copies[] | select(.node == "{other.name}" and .joined and .counts)] | length == 1'
    node.wait_until_succeeds(f"hotspare-replicate status {volume} --json | jq -e '{want}'", timeout=timeout)
    if ready:
        node.wait_until_succeeds(f"hotspare status | grep '{other.name} (ready)'", timeout=timeout)


def use_volume(node, user: str, unit: str, volume: str = "data") -> None:
    """The unit that uses the volume; its copy here can be made now."""
    node.copy_text(f"/etc/systemd/system/{user}.service", unit)
    node.succeed(f"systemctl daemon-reload; systemctl stop hotspare-replicate@{volume}")


def create_copies(first, other, volume: str = "data", kind: str = "") -> None:
    """Both are made where they are to be, and run; the first has the data, with a new file system on it if `kind` says one."""
    first.succeed(f"hotspare-replicate create {volume} --first {f'--format {kind}' if kind else ''}")
    other.succeed(f"hotspare-replicate create {volume}")
    for node in (first, other):
        node.succeed(f"systemctl reset-failed; systemctl start hotspare-replicate@{volume}")


def make_copies(first, other, *more, user: str = "writer", unit: str = WRITER, volume: str = "data") -> None:
    """A user of the volume on each node, and copies of an empty one on the first two; the first has the data."""
    for node in (first, other, *more):
        node.start()
        use_volume(node, user, unit, volume)
        node.succeed(f"truncate -s 64M /var/lib/{volume}.img")
    create_copies(first, other, volume)


def acknowledged(node, which: str = "") -> int:
    # Nothing in it yet, or no such file: nothing was acknowledged so far.
    return int(node.succeed(f"cat /var/lib/acknowledged{which} 2>/dev/null || true").strip() or 0)


def wait_writes(node, timeout: int = 60, which: str = "") -> int:
    """Some more is acknowledged here; how far."""
    before = acknowledged(node, which)
    node.wait_until_succeeds(f"test $(cat /var/lib/acknowledged{which}) -gt $((10#{before:020d} + 500))", timeout=timeout)
    return acknowledged(node, which)


def nothing_is_lost(node, number: int, which: str = "") -> None:
    """`number` was acknowledged on the node before; what the writer of this one found when it began has it."""
    newest = int(node.succeed(f"lab-volume check /var/lib/acknowledged{which} {number}"))
    node.log_.info(f"{number} records were acknowledged, {newest} were found")


def watch_registers(client) -> None:
    """Somebody writes and reads numbers over the cluster's address from now on."""
    client.succeed("systemd-run -q --unit=registers -p Type=notify -p TimeoutStopSec=120 lab-register ask 192.0.2.100:7000 /tmp/registers")


def registers_are_linearizable(client) -> str:
    """They stop, and one order explains everything that they were told; how much that was."""
    client.succeed("systemctl stop registers; systemctl show -P Result registers | grep -x success || ! journalctl -o cat -u registers | tail -n 3 >&2")
    said = client.succeed("lab-history /tmp/registers", timeout=300)
    told = [int(line.split()[1]) for line in said.splitlines()]
    return f"{sum(told)} reads and writes of {len(told)} registers, linearizable"
