"""A disk that two machines see, whatever it is reached by: what must be true of the role that lies on it."""

from __future__ import annotations

import time
from collections.abc import Callable

SLOW = 240  # an emulated processor
UNIT = """[Unit]
Description=The disk of the SAN
After=systemd-networkd.service
Before=hotspare-leased.service
[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=300
ExecStart=/bin/sh -c '/usr/lib/systemd/systemd-networkd-wait-online -i eth1 && {login} && udevadm wait --timeout=120 {disk}'
[Install]
WantedBy=multi-user.target
"""
LOG = """[Service]
ExecStart=/bin/sh -c 'n=$$(tail -n 1 /srv/files/log 2> /dev/null || echo 0); while :; do echo $$((n += 1)) >> /srv/files/log && sync /srv/files/log && echo $$n > /run/acknowledged; done'
"""


class SharedDisk:
    """`disk`: its path on both machines; `login`: the command that brings it there; `registered`: one that prints how many keys it has."""

    def __init__(self, alpha, beta, disk: str, login: str, registered: str, subtest: Callable) -> None:
        self.alpha, self.beta = alpha, beta
        self.disk, self.login, self.registered, self.subtest = disk, login, registered, subtest

    def prepare(self, files: dict[str, dict[str, str]]) -> None:
        """Before the first start. `files`: more of them, by machine and path."""
        for node in (self.alpha, self.beta):
            unit = UNIT.format(login=self.login, disk=self.disk)
            for path, text in {"etc/systemd/system/disk.service": unit, "etc/systemd/system/log.service": LOG, **files[node.name]}.items():
                (node.root / path).parent.mkdir(parents=True, exist_ok=True)
                (node.root / path).write_text(text)
            (node.root / "srv/files").mkdir(parents=True)
            wants = node.root / "etc/systemd/system/multi-user.target.wants"
            wants.mkdir(parents=True, exist_ok=True)
            (wants / "disk.service").symlink_to("/etc/systemd/system/disk.service")
        # It votes at once, and is a candidate when the other one has led.
        (self.beta.root / "etc/systemd/system/multi-user.target.wants/hotspare-leased.service").unlink()

    def writes(self, node) -> int:
        before = int(node.wait_until_succeeds("cat /run/acknowledged", timeout=SLOW))
        node.wait_until_succeeds(f"test $(cat /run/acknowledged) -gt {before + 3}", timeout=SLOW)
        return int(node.succeed("cat /run/acknowledged"))

    def leads(self, node, last: int, taken_from: str) -> None:
        """With everything up to `last` in the file, in order, and the disk for itself."""
        node.wait_for_unit("cluster-up.service", timeout=SLOW)
        said = node.succeed("journalctl -b -o cat -u cluster-disk-1 | grep 'can write to it now' | tail -n 1")
        assert f"of all nodes only {node.name} can write to it now (taken from: {taken_from})" in said, said
        assert self.writes(node) > last
        node.succeed("awk '$1 != NR { exit 1 }' /srv/files/log")
        node.fail("journalctl -b -k -o cat | grep -E 'BUG:|Oops'")
        # One that stood still has seen its mount of before end in errors, as it must.
        node.succeed("journalctl -b -k -o cat | awk '/EXT4-fs .*: mounted filesystem/ { wrong = 0 } /EXT4-fs error/ { wrong = 1 } END { exit wrong }'")

    def is_refused(self, node) -> None:
        """The disk takes nothing from this machine, and not because it is out of reach."""
        node.succeed(f"dd if={self.disk} of=/dev/null bs=4096 count=1 iflag=direct status=none")
        assert "Invalid exchange" in node.fail(f"dd if=/dev/zero of={self.disk} bs=4096 count=1 seek=20000 oflag=direct status=none 2>&1")

    def stands_by(self, node, leader) -> None:
        node.wait_for_unit("cluster-standby.target", timeout=SLOW)
        node.wait_until_fails("systemctl is-active log.service cluster-disk-1.service || findmnt /srv/files", timeout=SLOW)
        leader.wait_until_succeeds(f"hotspare status | grep '{node.name} (ready)'", timeout=SLOW)

    def wakes_up(self, node) -> None:
        """It is past its time, whatever it believes: what of its role does not end at once is ended with a reset."""
        node.thaw()
        deadline = time.monotonic() + SLOW
        while time.monotonic() < deadline:
            if node.process.poll() is not None:
                node.wait_for_shutdown()
                return node.start()
            if node.run("systemctl is-active cluster-standby.target", 20)[0] == 0:
                return None
        raise AssertionError(f"{node.name} neither stands by nor resets itself")

    def everything(self) -> None:
        """From the first start to the last reset; the disk has an empty file system, and the witness exports it."""
        alpha, beta = self.alpha, self.beta
        alpha.start()
        beta.start()

        with self.subtest("the role takes the disk before it mounts it, and nobody else can write to it"):
            self.leads(alpha, 0, "nobody")
            beta.succeed("systemctl enable --now hotspare-leased")
            assert "in use on this machine" in alpha.fail(f"hotspare-fence claim {self.disk} 2>&1")  # an older mount would be, too
            beta.wait_for_unit("disk.service", timeout=SLOW)
            self.is_refused(beta)
            self.stands_by(beta, alpha)

        with self.subtest("handed over: the other one can write, this one can not"):
            before = self.writes(alpha)
            alpha.succeed("hotspare switchover")
            self.leads(beta, before, "alpha")
            self.stands_by(alpha, beta)
            self.is_refused(alpha)
            assert beta.succeed(self.registered).strip() == "1"

        with self.subtest("a machine that stood still wakes up as the primary that it was, and the disk takes nothing from it"):
            before = self.writes(beta)
            beta.freeze()
            self.leads(alpha, before, "beta")
            self.wakes_up(beta)
            self.stands_by(beta, alpha)
            self.is_refused(beta)
            self.leads(alpha, self.writes(alpha), "beta")

        with self.subtest("the primary loses its power"):
            before = self.writes(alpha)
            alpha.crash()
            self.leads(beta, before, "alpha")
            alpha.start()
            self.stands_by(alpha, beta)

        with self.subtest("the primary is cut off from everything, its disk included: it reboots itself, since nobody can kill what waits for the disk"):
            before = self.writes(beta)
            beta.block()
            beta.wait_for_shutdown(timeout=SLOW)  # a reset ends the emulator
            assert "reboot: Restarting system" in beta.console.read_text(errors="replace")  # not a panic; the journal's last words are lost with it
            self.leads(alpha, before, "beta")
            beta.start()
            self.stands_by(beta, alpha)

        with self.subtest("somebody from outside sits in the file system when the role goes: he is named, and it is said that this node could not lead"):
            alpha.succeed("systemd-run -q --unit=outsider sh -c 'cd /srv/files && exec sleep infinity'")
            before = self.writes(alpha)
            alpha.succeed("hotspare switchover")
            self.leads(beta, before, "alpha")
            assert "(sleep); an older mount must end" in alpha.succeed("(hotspare doctor || true) | grep 'BAD   disk: .* is in use here without the role'")
            assert "(sleep); an older mount must end first" in alpha.fail(f"hotspare-fence claim {self.disk} 2>&1")
            beta.wait_until_succeeds("hotspare status | grep 'alpha (not ready)'", timeout=SLOW)
            alpha.succeed("hotspare status | grep 'still in use here: journalctl -b -u cluster-disk-free-1.service'")
            alpha.succeed("journalctl -b -o cat -u cluster-disk-free-1 | grep '(sleep); an older mount must end first'")
            alpha.succeed("systemctl stop outsider; umount /srv/files; (hotspare doctor || true) | grep 'ok    disk: .* is there'")
            self.stands_by(alpha, beta)
