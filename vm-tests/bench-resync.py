# What it costs a user that a copy is made equal meanwhile, and how fast that goes: small writes on a volume, quiet, beside a resync, and the
# resync alone. The aims: 99 of 100 writes in at most twice their time, and the resync goes on.
# lab-config: volume "data" { backing "/run/data.img"; frontend "socket"; }; unit "user.service"; outage-budget "11s"
import json
import subprocess
import time
from pathlib import Path

import fio

SIZE = 2 << 30
JOB = "--rw=randwrite --bs=4k --iodepth={depth}"


def copy() -> dict:
    [found] = json.loads(alpha.succeed("hotspare-replicate status data --json"))["copies"]
    return found


def wait_equal() -> None:
    alpha.wait_until_succeeds("hotspare-replicate status data --json | jq -e '[.copies[] | select(.joined and .counts)] | length == 1'", timeout=300)


def resync() -> None:
    """The copy on beta is made anew: all of it is copied."""
    beta.succeed(f"systemctl stop hotspare-replicate@data; truncate -s 0 /run/data.img; truncate -s {SIZE + (8 << 20)} /run/data.img; hotspare-replicate create data --again; systemctl reset-failed; systemctl start hotspare-replicate@data")
    alpha.wait_until_succeeds("hotspare-replicate status data --json | jq -e '.copies[0].resync'", timeout=60)


def measure(depth: int) -> dict[str, float]:
    where = f"--ioengine=nbd --uri='nbd+unix:///?socket={socket}' --size={SIZE}"
    how = JOB.format(depth=depth)
    said = subprocess.run(["timeout", "60", "sh", "-c", fio.command(where, how, 3)], capture_output=True, text=True, check=True).stdout
    return fio.result(said, how, 0)


for node in (witness, alpha, beta):
    node.start()
for node in (alpha, beta):
    node.succeed("mkdir -p /run/systemd/system; printf '[Service]\\nExecStart=sleep infinity\\n' > /run/systemd/system/user.service")
    node.succeed(f"systemctl daemon-reload; systemctl stop hotspare-replicate@data; mount -o remount,size=3g /run; truncate -s {SIZE + (8 << 20)} /run/data.img")
alpha.succeed(f"head -c {SIZE} /dev/urandom > /run/data.img; truncate -s {SIZE + (8 << 20)} /run/data.img")
alpha.succeed("hotspare-replicate create data --first")
beta.succeed("hotspare-replicate create data")
for node in (alpha, beta):
    node.succeed("systemctl reset-failed; systemctl start hotspare-replicate@data")
alpha.wait_for_unit("cluster-up.service", timeout=60)
wait_equal()
socket = Path(f"/proc/{alpha.leader}/root/run/hotspare-replicate/data.nbd")
resync()
began, left = time.monotonic(), copy()["resync"]["bytes_left"]
wait_equal()
alone = left / (time.monotonic() - began)
print(f"resync alone: {alone / 1e6:.0f} MB/s")
print("| depth | | writes a second | p50 us | p99 us | resync MB/s |\n|---|---|---|---|---|---|")
for depth in (1, 16):
    quiet = measure(depth)
    resync()
    before, began = copy()["resync"]["bytes_left"], time.monotonic()
    beside = measure(depth)
    after = copy()["resync"]
    assert after and after["bytes_left"] > 0, "the resync was over before the measurement was"
    rate = (before - after["bytes_left"]) / (time.monotonic() - began)
    print(f"| {depth} | quiet | {quiet['iops']:.0f} | {quiet['p50']:.0f} | {quiet['p99']:.0f} | |")
    print(f"| {depth} | beside a resync | {beside['iops']:.0f} | {beside['p50']:.0f} | {beside['p99']:.0f} | {rate / 1e6:.0f} |")
    print(f"| {depth} | ratio | {beside['iops'] / quiet['iops']:.2f} | {beside['p50'] / quiet['p50']:.2f} | {beside['p99'] / quiet['p99']:.2f} | {rate / alone:.2f} |", flush=True)
    wait_equal()
