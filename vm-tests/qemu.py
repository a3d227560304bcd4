"""The QEMU backend: a node is a virtual machine with a kernel of its own, for what a container has not: block devices, kernel modules,
watchdogs. Emulated, so that it runs where there is no hardware help; slow, so that only scenarios that need it are run on it.

    driver (namespaces of its own, no uplink)
      bridges br1, br2 --- tap --- [alpha: eth1, eth2; /dev/vda system, /dev/vdb and vdc for the scenario]

Its system is made of the same tree, and configured by the same code, as that of a container. Power is cut as a plug is pulled: the
links go down first, then the emulator is killed. What its kernel had not written to a disk is lost then; what it had is there.
"""

from __future__ import annotations

import base64
import lzma
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from machine import Log, MachineError
from nspawn import NETWORKS, Nspawn, sh

PACKAGES = "dmsetup,open-iscsi,sg3-utils,linux-image-amd64,initramfs-tools,zstd,e2fsprogs,xfsprogs,postgresql,fio,drbd-utils"
MEMORY_MB = 1024
DATA_MB = 128
# What a fresh system starts and a test does not need; an emulated processor is slow.
IDLE = """postgresql.service e2scrub_reap.service e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer
getty.target systemd-rfkill.socket modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service sys-fs-fuse-connections.mount systemd-binfmt.service
proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount sys-kernel-tracing.mount systemd-user-sessions.service systemd-pcrmachine.service
systemd-pcrphase-sysinit.service systemd-pcrphase.service systemd-tpm2-setup-early.service systemd-tpm2-setup.service systemd-pstore.service""".split()
# Nothing of the rest of what a machine has is looked for.
TRIGGER = """[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add --prioritized-subsystem=block --subsystem-match=block --subsystem-match=net --subsystem-match=virtio-ports --subsystem-match=misc
"""
# What it takes to mount the system: a distribution's own looks for a quarter of a minute where it could be.
FIRST = """#!/bin/sh
/bin/mount -t devtmpfs dev /dev
for module in {modules}; do /bin/insmod /$module.ko; done
/bin/mount -t ext4 -o rw /dev/vda /root
exec /bin/run-init /root /sbin/init
"""
FIRST_MODULES = ["virtio_blk", "ext4"]  # and what they need
# A shell on a port that only the host sees, as the NixOS driver has one; each command is a process of its own.
AGENT = """[Unit]
Description=The lab's way in
DefaultDependencies=no
Requires=dev-virtio\\x2dports-lab.device
After=dev-virtio\\x2dports-lab.device
Conflicts=shutdown.target
Before=shutdown.target
IgnoreOnIsolate=yes
[Service]
ExecStart=/usr/bin/bash /usr/local/lib/lab-agent
Restart=always
RestartSec=1
StandardInput=null
Environment=HOME=/root LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
[Install]
WantedBy=basic.target
"""
AGENT_SCRIPT = """exec 3<>/dev/virtio-ports/lab
echo hello >&3
while read -r id limit text <&3; do
    (
        printf %s "$text" | base64 -d > /run/lab-$id
        timeout -k 5 "$limit" bash /run/lab-$id > /run/lab-$id.out 2>&1 < /dev/null
        status=$?
        printf '%s %s ' "$id" "$status" >&3
        base64 -w0 /run/lab-$id.out >&3
        echo >&3
        rm -f /run/lab-$id /run/lab-$id.out
    ) 3>&3
done
"""


def small_initrd(tree: Path) -> Path:
    """The first system in memory, made once for a tree of machines: a shell, the modules of its disk, its real system."""
    made = tree / "boot/initrd.lab"
    if made.exists():
        return made
    with tempfile.TemporaryDirectory(dir=tree / "tmp") as folder:
        fresh = Path(folder)
        for name in ("dev", "root", "bin"):
            (fresh / name).mkdir()
        klibc = tree / "usr/lib/klibc/bin"
        programs = {klibc / name: f"bin/{name}" for name in ("sh", "mount", "run-init")} | {tree / "usr/bin/kmod": "bin/insmod"}
        libraries = [tree / line for line in re.findall(r"/(\S+)", sh("chroot", str(tree), "ldd", "/usr/bin/kmod"))]
        programs |= {path: str(path.relative_to(tree)) for path in [*libraries, *(tree / "usr/lib").glob("klibc-*.so")]}
        for path, name in programs.items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, fresh / name)
        kernel = next((tree / "boot").glob("vmlinuz-*")).name.removeprefix("vmlinuz-")
        needed = sh("chroot", str(tree), "modprobe", "-a", "-S", kernel, "--show-depends", *FIRST_MODULES)
        packed = list(dict.fromkeys(re.findall(r"^insmod /(\S+\.ko\.xz)", needed, re.MULTILINE)))
        modules = [Path(path).name.removesuffix(".ko.xz") for path in packed]
        for module, path in zip(modules, packed, strict=True):
            (fresh / f"{module}.ko").write_bytes(lzma.decompress((tree / path).read_bytes()))
        (fresh / "init").write_text(FIRST.format(modules=" ".join(modules)))
        (fresh / "init").chmod(0o755)
        sh("chroot", str(tree), "bash", "-c", f"cd /tmp/{fresh.name} && find . | cpio -o -H newc --quiet > /boot/initrd.new && mv /boot/initrd.new /boot/initrd.lab")
    return made


class Qemu(Nspawn):
    """The same files as a container's, booted by a kernel of its own."""

    def __init__(self, name: str, number: int, tree: Path, work: Path, log: Log, hosts: str) -> None:
        super().__init__(name, number, tree, work, log, hosts)
        self.folder, self.data_mb = work / name, DATA_MB
        self.disks = [self.folder / name for name in ("system.img", "data.img", "other.img")]
        self.devices: list[str] = []  # more of the emulator's command line, for a scenario that wants a device
        self.agent: socket.socket | None = None
        self.heard = b""
        self.commands = 0
        self._write("etc/systemd/system/lab-agent.service", AGENT)
        self._write("usr/local/lib/lab-agent", AGENT_SCRIPT)
        # An emulated processor takes its time to find a device.
        self._write("etc/systemd/system.conf.d/lab.conf", "[Manager]\nDefaultDeviceTimeoutSec=5min\n")
        self._write("etc/fstab", "/dev/vda / ext4 rw 0 1\n")
        self._write("etc/modules-load.d/lab.conf", "virtio_console\nvirtio_net\nvirtio_rng\n")
        for vlan, (net4, net6) in NETWORKS.items():
            text = f"[Match]\nName=eth{vlan}\n[Network]\nAddress={net4}.{number}/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nKeepConfiguration=yes\n"
            self._write(f"etc/systemd/network/{vlan}.network", text + f"[Address]\nAddress={net6}{number:x}/64\nDuplicateAddressDetection=none\n")
        wants = self.root / "etc/systemd/system"
        for target, unit in (("basic.target", "/etc/systemd/system/lab-agent.service"), ("multi-user.target", "/usr/lib/systemd/system/systemd-networkd.service")):
            (wants / f"{target}.wants").mkdir(parents=True, exist_ok=True)
            (wants / f"{target}.wants" / Path(unit).name).symlink_to(unit)
        self._write("etc/systemd/system/systemd-udev-trigger.service.d/lab.conf", TRIGGER)
        for unit in IDLE:
            (wants / unit).unlink(missing_ok=True)
            (wants / unit).symlink_to("/dev/null")

    def fill_data(self, command: str, folder: str) -> None:
        """Before the first start: runs `command` in the machine's tree, at the speed of this one, and makes a file system of `folder`
        on the data disk. It leaves room behind it."""
        sh("chroot", str(self.root), "/bin/bash", "-c", command)
        sh("mke2fs", "-q", "-t", "ext4", "-d", str(self.root / folder.lstrip("/")), str(self.disks[1]), f"{self.data_mb - 4}M")

    def _boot_files(self) -> tuple[Path, Path]:
        boot = self.root / "boot"
        return next(boot.glob("vmlinuz-*")), boot / "initrd.lab"

    def _wire(self) -> None:
        for vlan in NETWORKS:
            sh("ip", "tuntap", "add", self._veth(vlan), "mode", "tap", "vnet_hdr")
            sh("ip", "link", "set", self._veth(vlan), "master", f"br{vlan}", "up")

    def start(self, allow_reboot: bool = False) -> None:
        if self.process:
            return
        if not self.disks[0].exists():
            sh("mke2fs", "-q", "-t", "ext4", "-d", str(self.root), str(self.disks[0]), "3500M")
            for disk in self.disks[1:]:
                with disk.open("ab") as file:
                    file.truncate(self.data_mb << 20)
        self._wire()
        kernel, initrd = self._boot_files()
        port = self.folder / "agent.sock"
        port.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(port))
        listener.listen(1)
        listener.settimeout(60)
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", "1", "-m", str(MEMORY_MB)]
        command += ["-nodefaults", "-no-reboot", "-display", "none", "-serial", f"file:{self.console}"]
        command += ["-kernel", str(kernel), "-initrd", str(initrd)]
        command += ["-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet panic=1 mitigations=off systemd.show_status=no systemd.condition_needs_update=no"]
        for disk in self.disks:
            command += ["-drive", f"file={disk},if=virtio,format=raw,cache=writeback"]
        command += ["-device", "virtio-net-pci,mac=52:54:00:00:00:%02x" % self.number]  # eth0, which goes nowhere
        for vlan in NETWORKS:
            command += ["-netdev", f"tap,id=n{vlan},ifname={self._veth(vlan)},script=no,downscript=no,vhost=off"]
            command += ["-device", f"virtio-net-pci,netdev=n{vlan},mac=52:54:00:00:{vlan:02x}:{self.number:02x}"]
        command += ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
        command += ["-chardev", f"socket,id=lab,path={port},server=off", "-device", "virtserialport,chardev=lab,name=lab"]
        command += self.devices
        with (self.folder / "qemu.log").open("ab") as said:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            self.agent = listener.accept()[0]  # the emulator calls before it boots anything
        except TimeoutError as late:
            raise MachineError(f"{self.name}: {(self.folder / 'qemu.log').read_text()[-500:]}") from late
        finally:
            listener.close()
        self.heard, self.booted = b"", False

    def wait_booted(self) -> None:
        """Waits for the agent. What was started since is waited for by the scenario."""
        deadline = time.monotonic() + 180
        if self._line(deadline) is None:
            raise MachineError(f"{self.name} did not boot:\n{self.console.read_text(errors='replace')[-2000:]}")
        self.booted = True

    def _line(self, deadline: float) -> bytes | None:
        assert self.agent
        while b"\n" not in self.heard:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.agent], [], [], left)[0]:
                return None
            some = self.agent.recv(1 << 16)
            if not some:
                return None
            self.heard += some
        line, self.heard = self.heard.split(b"\n", 1)
        return line

    def run(self, command: str, timeout: float | None) -> tuple[int, str]:
        if not self.booted:
            self.wait_booted()
        assert self.agent
        self.commands += 1
        limit = timeout or 900
        text = base64.b64encode(f"set -euo pipefail; {command}".encode()).decode()
        try:
            self.agent.sendall(f"{self.commands} {limit} {text}\n".encode())
        except OSError:
            return 124, self._last_words()
        while line := self._line(time.monotonic() + limit + 30):
            words = line.decode(errors="replace").split(" ")
            if words[0] == str(self.commands):
                return int(words[1]), base64.b64decode(words[2]).decode(errors="replace") if len(words) > 2 else ""
        return 124, self._last_words()

    def _last_words(self) -> str:
        """Of a machine that does not answer: what its kernel said last."""
        return f"{self.name} does not answer; its console:\n{self.console.read_text(errors='replace')[-4000:]}"

    # ---- faults ----

    def crash(self) -> None:
        """Pulls the plug."""
        if not self.process:
            return
        for vlan in NETWORKS:
            sh("ip", "link", "set", self._veth(vlan), "down", check=False)
        self.process.kill()
        self._gone()

    def freeze(self) -> None:
        """Stops the whole machine, as a host that is paused does."""
        assert self.process
        self.process.send_signal(19)

    def thaw(self) -> None:
        assert self.process
        self.process.send_signal(18)

    def _gone(self, timeout: float = 90) -> None:
        assert self.process
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired as late:
            raise MachineError(f"{self.name} did not go down within {timeout} s") from late
        if self.agent:
            self.agent.close()
        self.process, self.agent, self.booted = None, None, False
        for vlan in NETWORKS:
            sh("ip", "link", "del", self._veth(vlan), check=False)

    def shutdown(self) -> None:
        if self.process:
            self.run("systemctl --no-block poweroff", 10)
            self._gone()

    def release(self) -> None:
        if self.process:
            self.process.kill()
            self._gone()
        sh("umount", "-l", str(self.root), check=False)
