# A volume on this machine, without an emulator, next to QEMU's storage daemon with a quorum pair, on the same network path between the same
# two namespaces, files in memory: ratios of the same run. With LIMITS_BIN (the harness's yardstick programs) also next to those.
# lab-config: volume "data" { backing "/run/data.img"; frontend "socket"; }; unit "user.service"; outage-budget "11s"
import os
import subprocess
from pathlib import Path

import fio

SIZE = 256 << 20
HOME = alpha.root.parent.parent / "bench"
HOME.mkdir()
started: list[subprocess.Popen] = []


def busy() -> float:
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def start(where: str, *command: str) -> None:
    log = (HOME / "log").open("ab")
    started.append(subprocess.Popen(["ip", "netns", "exec", where, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log))


def listens(where: str, what: str) -> None:
    """The program that was started last listens; the kernel says so, or that it has ended."""
    look = ["ip", "netns", "exec", where, "ss", "-Hnl", "-tx"]
    while what not in subprocess.run(look, capture_output=True, text=True, check=True).stdout:
        assert started[-1].poll() is None, (HOME / "log").read_text()


def image(name: str) -> Path:
    path = HOME / name
    subprocess.run(["dd", "if=/dev/urandom", f"of={path}", "bs=1M", f"count={SIZE >> 20}", "status=none"], check=True)
    return path


def qemu() -> Path:
    """A quorum of a local file and an NBD export of the other node; it compares what it reads from both."""
    local, remote, socket = image("q-local"), image("q-remote"), HOME / "qemu.sock"
    start("beta", "qemu-storage-daemon", "--blockdev", f"driver=file,filename={remote},node-name=r,cache.direct=off",
          "--nbd-server", "addr.type=inet,addr.host=192.0.2.2,addr.port=10809", "--export", "type=nbd,id=e,node-name=r,name=,writable=on")
    listens("beta", "192.0.2.2:10809")
    start("alpha", "qemu-storage-daemon", "--blockdev", f"driver=file,filename={local},node-name=l,cache.direct=off",
          "--blockdev", "driver=nbd,node-name=n,server.type=inet,server.host=192.0.2.2,server.port=10809,export=",
          "--blockdev", "driver=quorum,node-name=q,vote-threshold=2,children.0=l,children.1=n",
          "--nbd-server", f"addr.type=unix,addr.path={socket}", "--export", "type=nbd,id=e,node-name=q,name=,writable=on")
    listens("alpha", str(socket))
    return socket


def yardstick(programs: str) -> Path:
    """No metadata, no sums, no cipher, one thread: what is left to be reached."""
    local, remote, socket = image("y-local"), image("y-remote"), HOME / "yard.sock"
    start("beta", f"{programs}/ublkmini", "replica", "192.0.2.2:10810", str(remote))
    listens("beta", "192.0.2.2:10810")
    start("alpha", f"{programs}/nbdmini", str(socket), str(local), "192.0.2.2:10810")
    listens("alpha", str(socket))
    return socket


for node in (witness, alpha, beta):
    node.start()
for node in (alpha, beta):
    node.succeed("mkdir -p /run/systemd/system; printf '[Service]\\nExecStart=sleep infinity\\n' > /run/systemd/system/user.service")
    node.succeed(f"systemctl daemon-reload; systemctl stop hotspare-replicate@data; truncate -s {SIZE + (8 << 20)} /run/data.img")
alpha.succeed("hotspare-replicate create data --first")
beta.succeed("hotspare-replicate create data")
for node in (alpha, beta):
    node.succeed("systemctl reset-failed; systemctl start hotspare-replicate@data")
alpha.wait_for_unit("cluster-up.service", timeout=60)
alpha.wait_until_succeeds("hotspare-replicate status data --json | jq -e '[.copies[] | select(.joined and .counts)] | length == 1'", timeout=120)
run = Path(f"/proc/{alpha.leader}/root/run/hotspare-replicate")
sockets = {"volume": run / "data.nbd", "volume, without its holder": run / "data.engine", "QEMU quorum": qemu()}
if programs := os.environ.get("LIMITS_BIN"):
    sockets["yardstick"] = yardstick(programs)
try:
    found = {(name, job): [] for name in sockets for job in fio.JOBS}
    for turn in range(2):
        for job, how in fio.JOBS.items():
            for name, socket in list(sockets.items())[:: 1 if turn == 0 else -1]:
                before = busy()
                command = fio.command(f"--ioengine=nbd --uri='nbd+unix:///?socket={socket}' --size={SIZE}", how, 3)
                said = subprocess.run(["timeout", "60", "sh", "-c", command], capture_output=True, text=True, check=True).stdout
                found[name, job].append(fio.result(said, how, busy() - before))
    print(fio.table(found, list(sockets), "volume"))
finally:
    for program in started:
        program.kill()
        program.wait()
