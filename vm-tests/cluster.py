"""The cluster that every scenario finds: two data nodes, an arbiter, a client. What the NixOS tests write in Nix."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from machine import Log, MachineError
from nspawn import NETWORKS, Nspawn, sh
from qemu import PACKAGES as VM_PACKAGES
from qemu import Qemu, small_initrd

REPO = Path(__file__).resolve().parent.parent
LAB = REPO / ".lab"
PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,iproute2,iputils-ping,procps,nginx-light,netcat-openbsd,curl,nftables,less,kmod,tcpdump,strace,keepalived,jq,postgresql-client,fence-agents-ipmilan,openipmi"
)
SUITE = "trixie"
NODES = ["alpha", "beta", "witness", "client"]
VIP4, VIP6 = "192.0.2.100", "2001:db8:1::100"
PROGRAMS = "hotspare hotspare-arbiter hotspare-fence hotspare-gate hotspare-generator hotspare-heartbeat hotspare-lease hotspare-leased hotspare-probe hotspare-replicate vip-claim"
LAB_PROGRAMS = ("lab-client", "lab-history", "lab-register", "lab-volume")

CONFIG = """cluster "lab"
node "alpha" key="{alpha}" {{ link "192.0.2.1"; link "198.51.100.1"; }}
node "beta" key="{beta}" {{ link "192.0.2.2"; link "198.51.100.2"; }}
node "witness" key="{witness}" {{ link "192.0.2.4"; link "198.51.100.4"; }}
group "default" {{
    candidates "alpha" "beta"
{more}    unit "nginx.service"
    address "192.0.2.100/24" interface="eth1"
    address "2001:db8:1::100/64" interface="eth1"
}}
group "jobs" {{
    candidates "alpha" "beta"
}}
"""

NGINX = """server {
    listen 80 default_server;
    listen [::]:80 default_server;
    location = /who { default_type text/plain; return 200 "$hostname\\n"; }
}
"""


def machines_of(kernel: str) -> tuple[str, str, str]:
    """What a tree for virtual machines is made of. `kernel`: nothing, or `backports`, for one that is newer than the release."""
    packages = f"{PACKAGES},{VM_PACKAGES}"
    if not kernel:
        return packages, "virtual machines", ""
    newer = f"{SUITE}-{kernel}"
    packages = packages.replace("linux-image-amd64", f"linux-image-amd64/{newer},nvme-cli")
    return packages, f"virtual machines, with a kernel of {newer}", newer


def mirror() -> str:
    """The mirror that this machine itself installs from."""
    found = sh("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", check=False).split()
    if not found:
        raise MachineError("this machine has no Debian mirror configured (apt-get indextargets is empty)")
    return found[0]


def debian(log: Log, packages: str, what: str, newer: str = "") -> Path:
    """A Debian tree with these packages, made once and kept under .lab/. `newer`: a suite that some of them are taken from."""
    LAB.mkdir(exist_ok=True)
    key = hashlib.sha256(f"{SUITE} {packages}".encode()).hexdigest()[:12]
    tree = LAB / f"tree-{key}"
    if not tree.exists():
        with log.nested(f"making a Debian {SUITE} tree for {what} (once)"):
            tar, fresh = LAB / f"tree-{key}.tar", LAB / f"tree-{key}.new"
            sources = [f"deb {mirror()} {suite} main" for suite in (SUITE, newer)] if newer else [mirror()]
            done = subprocess.run(
                ["mmdebstrap", "--variant=minbase", f"--include={packages}", SUITE, str(tar), *sources],
                capture_output=True, text=True, check=False,
            )
            if done.returncode != 0:
                raise MachineError(f"mmdebstrap failed:\n{done.stderr[-2000:]}")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            sh("tar", "-xf", str(tar), "-C", str(fresh))
            tar.unlink()
            fresh.rename(tree)
    return tree


def prepare(log: Log) -> tuple[Path, Path]:
    """The Debian tree of the containers and the installed toolkit, made once and kept under .lab/."""
    tree = debian(log, PACKAGES, "containers")
    with log.nested("building hotspare (release)"):
        done = subprocess.run(["cargo", "build", "--release", "--workspace", "--quiet"], cwd=REPO, check=False)
        if done.returncode != 0:
            raise MachineError("the build failed")
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target")) / "release"
    # Keyed by content, so that a lab that is running keeps the programs it was started with.
    parts = [target / name for name in [*PROGRAMS.split(), *LAB_PROGRAMS]] + sorted(p for p in (REPO / "units").rglob("*") if p.is_file()) + [REPO / "docs/dbus.md", REPO / "docs/operations.md", REPO / "tests/sim/jobs.txt"]
    golden = REPO / "tests/golden/03-socket-and-standby/expected"
    parts += sorted(p for p in golden.rglob("*") if p.is_file() and not p.is_symlink())
    digest = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:12]
    installed = LAB / f"installed-{digest}"
    if not installed.exists():
        fresh = Path(tempfile.mkdtemp(prefix="fresh-", dir=LAB))
        fresh.chmod(0o755)
        environment = {**os.environ, "DESTDIR": str(fresh), "PREFIX": "/usr", "PROGRAMS": PROGRAMS, "FROM": str(target)}
        sh_env(["units/install.sh"], environment)
        for tool in LAB_PROGRAMS:
            shutil.copy2(target / tool, fresh / "usr/bin" / tool)
        shutil.copytree(golden, fresh / "usr/share/hotspare-lab/units", symlinks=True)
        shutil.copy2(REPO / "tests/sim/jobs.txt", fresh / "usr/share/hotspare-lab/jobs.txt")
        try:
            fresh.rename(installed)
        except OSError:  # another lab was faster
            shutil.rmtree(fresh)
    return tree, installed


def sh_env(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MachineError(f"{' '.join(command)}: {done.stderr.strip()}")


class Cluster:
    """Fresh machines for one scenario."""

    def __init__(
        self, tree: Path, installed: Path, log: Log, more: str = "", peer: dict[str, str] | None = None, machines: tuple[str, ...] = (), kernel: str = ""
    ) -> None:
        """`peer`: not hotspare but another program, its files by node and path; nginx runs everywhere then. `machines` are virtual
        machines, with this `kernel` ([`machines_of`]), the others containers."""
        self.log, self.peer = log, peer
        self.work = Path(tempfile.mkdtemp(prefix="run-", dir=LAB))
        sh("mount", "-t", "tmpfs", "-o", f"size={10 if machines else 4}g", "tmpfs", str(self.work))
        numbers = {name: number for number, name in enumerate(sorted(NODES), 1)}
        # alpha 1, beta 2, client 3, witness 4: sorted, as the NixOS driver numbers them.
        hosts = "".join(f"{NETWORKS[1][0]}.{number} {name}\n" for name, number in numbers.items())
        hosts += f"{VIP4} vip\n{VIP6} vip6\n"
        big = debian(log, *machines_of(kernel)) if machines else tree
        if machines:
            small_initrd(big)

        def machine(name: str) -> Nspawn:
            kind, base = (Qemu, big) if name in machines else (Nspawn, tree)
            return kind(name, numbers[name], Path(f"{installed}:{base}"), self.work, log, hosts)

        self.machines = {name: machine(name) for name in NODES}
        self._configure(more)

    def _configure(self, more: str) -> None:
        keys = {}
        for name in ("alpha", "beta", "witness"):
            out = self.machines[name].root / "etc/hotspare/node.key"
            binary = self.machines[name].root / "usr/bin/hotspare"
            keys[name] = sh(str(binary), "keygen", "--out", str(out)).strip()
        text = CONFIG.format(more=more, **keys)
        for name, machine in self.machines.items():
            self.disable(machine, "openipmi.service")  # for its simulator alone, which a scenario starts
            if name == "client" or (self.peer is not None and name == "witness"):
                self.disable(machine, "keepalived.service")
                continue
            if self.peer is not None:
                (machine.root / "etc/keepalived").mkdir(exist_ok=True)
                (machine.root / "etc/keepalived/keepalived.conf").write_text(self.peer[name])
                self._site(machine)
                continue
            self.disable(machine, "keepalived.service")
            sh("systemd-sysusers", f"--root={machine.root}")
            (machine.root / "etc/hotspare/cluster.kdl").write_text(text)
            self.enable(machine, "hotspare-arbiter.service", "hotspare-heartbeat.service")
            if name == "witness":
                self.disable(machine, "nginx.service")
                continue
            self.enable(machine, "hotspare-leased.service")
            self._site(machine)
        if self.peer is not None:
            self.disable(self.machines["witness"], "nginx.service")
        self.disable(self.machines["client"], "nginx.service")

    @staticmethod
    def _site(machine: Nspawn) -> None:
        site = machine.root / "etc/nginx/sites-enabled/default"
        site.unlink(missing_ok=True)
        site.write_text(NGINX)  # nginx.service stays enabled in multi-user.target, as its package left it

    @staticmethod
    def enable(machine: Nspawn, *units: str) -> None:
        wants = machine.root / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir(parents=True, exist_ok=True)
        for unit in units:
            link = wants / unit
            if not link.is_symlink():
                link.symlink_to(f"/usr/lib/systemd/system/{unit}")

    @staticmethod
    def disable(machine: Nspawn, unit: str) -> None:
        (machine.root / "etc/systemd/system" / unit).symlink_to("/dev/null")

    def release(self) -> None:
        for machine in self.machines.values():
            machine.release()
        sh("umount", "-l", str(self.work), check=False)
        shutil.rmtree(self.work, ignore_errors=True)
