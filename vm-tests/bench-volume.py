# A volume, as a device of the kernel's NBD client and of its ublk driver, next to DRBD 8.4 (protocol C), on the same two virtual machines, one after
# the other and twice: ratios, not absolutes.
# lab-machines: alpha beta
# lab-config: volume "data" { backing "/dev/vdb"; frontend "nbd"; }; unit "user.service"; outage-budget "22s"; hold-down "1s"
import time

import fio
from volumes import wait_equal

DRBD = """resource r0 {
    net { protocol C; }
    disk { c-max-rate 4G; c-min-rate 4G; c-plan-ahead 0; resync-rate 4G; }
    device /dev/drbd0; disk /dev/vdc; meta-disk internal;
    on alpha { address 192.0.2.1:7788; }
    on beta { address 192.0.2.2:7788; }
}
"""
def busy() -> list[list[int]]:
    return [[int(word) for word in node.succeed("head -n 1 /proc/stat").split()[1:9]] for node in (alpha, beta)]


def measure(device: str, how: str) -> dict:
    before = busy()
    said = alpha.succeed(fio.command(f"--filename={device} --direct=1 --ioengine=libaio", how))
    ticks = sum(sum(b) - sum(a) - (b[3] - a[3]) - (b[4] - a[4]) for a, b in zip(before, busy()))
    return fio.result(said, how, ticks / 100)


def use(kind: str) -> None:
    """The device is of another kind from now on: after the role has been elsewhere."""
    for node in (witness, alpha, beta):
        node.succeed(f"sed -i 's/frontend \"[a-z]*\"/frontend \"{kind}\"/' /etc/hotspare/cluster.kdl")
    for node in (alpha, beta):
        node.succeed("systemctl daemon-reload; hotspare apply")
    for node, other in ((alpha, beta), (beta, alpha)):
        wait_equal(node, other, timeout=300)
        node.succeed("hotspare switchover")
        other.wait_for_unit("cluster-up.service", timeout=180)
    wait_equal(alpha, beta, timeout=300)


for node in (witness, alpha, beta):
    node.start()
for node in (alpha, beta):
    node.copy_text("/etc/systemd/system/user.service", "[Service]\nExecStart=sleep infinity\n")
    node.copy_text("/etc/drbd.d/r0.res", DRBD)
    node.succeed("systemctl daemon-reload; systemctl stop hotspare-replicate@data; modprobe drbd; drbdadm create-md --force r0; drbdadm up r0")
began = time.monotonic()
alpha.succeed("drbdadm primary --force r0")
alpha.wait_until_succeeds("grep UpToDate/UpToDate /proc/drbd", timeout=300)
drbd_sync = time.monotonic() - began
alpha.succeed("hotspare-replicate create data --first")
beta.succeed("hotspare-replicate create data")
for node in (alpha, beta):
    node.succeed("systemctl reset-failed; systemctl start hotspare-replicate@data")
alpha.wait_for_unit("cluster-up.service", timeout=180)
began = time.monotonic()
wait_equal(alpha, beta, timeout=300)
log.info(f"equal after: DRBD {drbd_sync:.1f} s, a volume {time.monotonic() - began:.1f} s (without its start)")
KINDS = {"nbd": "volume, NBD", "ublk": "volume, ublk"}
found = {(name, job): [] for name in ("DRBD", *KINDS.values()) for job in fio.JOBS}
for kind in ("nbd", "ublk", "ublk", "nbd"):
    if kind not in alpha.succeed("readlink -f /dev/hotspare/data"):
        use(kind)
    places = {"DRBD": "/dev/drbd0", KINDS[kind]: "/dev/hotspare/data"}
    for job, how in fio.JOBS.items():
        for name, place in places.items():
            found[name, job].append(measure(place, how))
names = ["DRBD", *KINDS.values()]
print(fio.table(found, names, KINDS["ublk"]) + "\n\n" + fio.table(found, names, KINDS["nbd"]))
