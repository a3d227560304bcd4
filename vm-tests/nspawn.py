"""The nspawn backend: a node is a container with real systemd as process 1 and a network namespace of its own.

    driver (mount, network and pid namespace of its own, no uplink)
      bridges br1, br2 --- veth --- [alpha: eth1, eth2]  [beta: ...]  [witness: ...]  [client: ...]

Power is cut as a plug is pulled: the links go down first, so that no FIN or goodbye leaks, then every process of the
node is killed at once.
"""

from __future__ import annotations

import os
import secrets
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

from machine import Log, Machine, MachineError, until

CGROUPS = Path("/sys/fs/cgroup")
# One address block for each network (RFC 5737, RFC 3849); machines are numbered in sorted order.
NETWORKS = {1: ("192.0.2", "2001:db8:1::"), 2: ("198.51.100", "2001:db8:2::")}


def sh(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise MachineError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def enter_namespace() -> None:
    """Makes a fresh cgroup2 view and a /run that nspawn accepts, in the mount namespace that `run` made for us."""
    sh("umount", "-R", str(CGROUPS), check=False)
    CGROUPS.mkdir(exist_ok=True)
    sh("mount", "-t", "cgroup2", "cgroup2", str(CGROUPS))
    sh("mount", "-t", "tmpfs", "tmpfs", "/run")
    sh("ip", "link", "set", "lo", "up")
    for vlan in NETWORKS:
        # An address of its own: it would change with the machines that come and go.
        sh("ip", "link", "add", f"br{vlan}", "address", f"52:54:00:ff:00:{vlan:02x}", "type", "bridge")
        sh("ip", "link", "set", f"br{vlan}", "up")


class Nspawn(Machine):
    def __init__(self, name: str, number: int, tree: Path, work: Path, log: Log, hosts: str) -> None:
        super().__init__(name, log)
        self.number, self.tree, self.hosts = number, tree, hosts
        self.root = work / name / "root"
        self.console = work / name / "console.log"
        self.token = secrets.token_hex(4)
        self.lives, self.cgroup = 0, CGROUPS / f"hotspare-lab-{self.token}-{name}-0"
        self.binds: list[str] = []  # "SOURCE:PLACE" of what this machine shares with others
        self.process: subprocess.Popen | None = None
        self.leader: int | None = None
        upper, scratch = work / name / "upper", work / name / "work"
        for folder in (self.root, upper, scratch):
            folder.mkdir(parents=True)
        options = f"lowerdir={tree},upperdir={upper},workdir={scratch}"
        sh("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))
        self._write("etc/hostname", f"{name}\n")
        self._write("etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{hosts}")
        self._write("etc/machine-id", f"{number:032x}\n")
        (self.root / "var/log/journal").mkdir(exist_ok=True)  # survives a power cut, for the story afterwards
        self._write("etc/systemd/journald.conf.d/lab.conf", "[Journal]\nStorage=persistent\nSyncIntervalSec=1s\n")

    def _write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def _veth(self, vlan: int) -> str:
        return f"v{vlan}-{self.name}"

    def _wire(self) -> None:
        sh("ip", "netns", "add", self.name)
        inside = ("ip", "-n", self.name)
        sh(*inside, "link", "set", "lo", "up")
        for vlan, (net4, net6) in NETWORKS.items():
            outside, device = self._veth(vlan), f"eth{vlan}"
            sh("ip", "link", "add", outside, "type", "veth", "peer", "name", device, "netns", self.name)
            sh("ip", "link", "set", outside, "master", f"br{vlan}", "up")
            sh(*inside, "link", "set", device, "up")
            sh(*inside, "addr", "add", f"{net4}.{self.number}/24", "dev", device)
            sh(*inside, "addr", "add", f"{net6}{self.number:x}/64", "dev", device, "nodad")

    def start(self, allow_reboot: bool = False) -> None:
        if self.process:
            return
        self._wire()
        # A cgroup of its own for each life: what is put into one that was killed once may die at once (seen on 6.18).
        self.lives += 1
        self.cgroup = CGROUPS / f"hotspare-lab-{self.token}-{self.name}-{self.lives}"
        self.cgroup.mkdir()
        command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "-D", str(self.root), "--boot"]
        command += [f"--network-namespace-path=/run/netns/{self.name}", "--console=pipe", "--kill-signal=SIGRTMIN+3"]
        command += ["--capability=CAP_NET_ADMIN,CAP_IPC_LOCK", *(f"--bind={bind}" for bind in self.binds)]
        join = f"echo $$ > {self.cgroup}/cgroup.procs; exec \"$@\""
        with self.console.open("ab") as console:
            self.process = subprocess.Popen(
                ["sh", "-c", join, "sh", *command], stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        self.leader = self._leader()
        self.booted = True

    def _leader(self) -> int:
        """The pid of the node's process 1: the child of systemd-nspawn that reached the boot."""
        found = until(self._booted_child, 20)
        if not found:
            raise MachineError(f"{self.name} did not boot (systemd-nspawn: {self.process.poll()}):\n{self.console.read_text(errors='replace')[-2000:]}")
        return found

    def _booted_child(self) -> int | None:
        """0: there will be none."""
        assert self.process
        if self.process.poll() is not None:
            return 0
        for child in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            try:
                if os.readlink(f"/proc/{child}/exe").endswith("/systemd/systemd"):
                    sh("nsenter", "-t", child, "-a", "test", "-S", "/run/systemd/private")
                    return int(child)
            except (OSError, MachineError):
                continue
        return None

    def run(self, command: str, timeout: float | None) -> tuple[int, str]:
        script = f"set -euo pipefail; {command}"
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(
                ["nsenter", "-t", str(self.leader), "-a", "bash", "-c", script],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env=environment, timeout=timeout, check=False,
            )
        except subprocess.TimeoutExpired as late:
            return 124, (late.stdout or b"").decode(errors="replace")
        return done.returncode, done.stdout.decode(errors="replace")

    # ---- faults ----

    def block(self) -> None:
        """Cuts the machine off from all networks; it does not notice (the carrier stays)."""
        for vlan in NETWORKS:
            sh("ip", "link", "set", self._veth(vlan), "nomaster")

    def unblock(self) -> None:
        for vlan in NETWORKS:
            sh("ip", "link", "set", self._veth(vlan), "master", f"br{vlan}")

    def block_network(self, vlan: int) -> None:
        sh("ip", "link", "set", self._veth(vlan), "nomaster")

    def unblock_network(self, vlan: int) -> None:
        sh("ip", "link", "set", self._veth(vlan), "master", f"br{vlan}")

    def crash(self) -> None:
        """Pulls the plug."""
        if not self.process:
            return
        for vlan in NETWORKS:
            sh("ip", "link", "set", self._veth(vlan), "down", check=False)
        (self.cgroup / "cgroup.kill").write_text("1")
        self._gone()

    def freeze(self) -> None:
        """Stops the machine's processes; its kernel goes on answering."""
        (self.cgroup / "cgroup.freeze").write_text("1")

    def thaw(self) -> None:
        (self.cgroup / "cgroup.freeze").write_text("0")

    def shutdown(self) -> None:
        """Asks the machine to power off, and waits."""
        if self.process:
            self.run("systemctl --no-block poweroff", 10)
            self._gone(60)

    def wait_for_shutdown(self, timeout: float = 60) -> None:
        self._gone(timeout)

    def reboot(self) -> None:
        self.shutdown()
        self.start()
        self.wait_booted()

    def _gone(self, timeout: float = 10) -> None:
        assert self.process
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired as late:
            raise MachineError(f"{self.name} did not go down within {timeout} s") from late
        self.process, self.leader, self.booted = None, None, False
        sh("ip", "netns", "del", self.name, check=False)
        for vlan in NETWORKS:
            sh("ip", "link", "del", self._veth(vlan), check=False)
        remove_cgroup(self.cgroup)

    def release(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            if (self.cgroup / "cgroup.kill").exists():
                (self.cgroup / "cgroup.kill").write_text("1")
            self._gone()
        remove_cgroup(self.cgroup)
        sh("umount", "-l", str(self.root), check=False)

    def copy_from_host(self, source: str, target: str) -> None:
        destination = self.root / target.lstrip("/")
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, destination)


def remove_cgroup(path: Path) -> None:
    if not path.exists():
        return
    with open(path / "cgroup.events") as events:  # the kernel tells of each change
        changed = select.poll()
        changed.register(events, select.POLLPRI)
        while "populated 1" in events.read() and changed.poll(5000):
            events.seek(0)
    for folder in sorted((p for p in path.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
        try:
            folder.rmdir()
        except OSError:
            pass
    path.rmdir()
