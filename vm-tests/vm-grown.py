# A volume with XFS on it becomes larger while it is used, on real kernels: the disks first (device-mapper), then the volume, the kernel's
# device follows by itself, the file system after it. The node that takes over mounts all of it.
# lab-machines: alpha beta
# lab-config: volume "data" { backing "/dev/mapper/data"; mount "/srv/data" type="xfs"; }; unit "log.service"; outage-budget "11s"; hold-down "1s"
import json

from volumes import create_copies, use_volume, wait_equal

SLOW = 180  # an emulated processor
SMALL, LARGE = 330, 420  # MiB; XFS begins at 300
LOG = """[Service]
ExecStart=/bin/sh -c 'while :; do echo $$((n += 1)) >> /srv/data/log && sync /srv/data/log && echo $$n > /run/acknowledged; done'
"""


def disk(node, mib: int, how: str) -> None:
    node.succeed(f"dmsetup {how} data --table \"0 {mib * 2048} linear /dev/vdb 0\"")


def size(node) -> int:
    return json.loads(node.succeed("hotspare-replicate status data --json"))["bytes"]


def writes(node) -> int:
    before = int(node.wait_until_succeeds("cat /run/acknowledged", timeout=SLOW))
    node.wait_until_succeeds(f"test $(cat /run/acknowledged) -gt {before + 5}", timeout=SLOW)
    return int(node.succeed("cat /run/acknowledged"))


for node in (alpha, beta):
    node.data_mb = LARGE + 8
for node in (witness, alpha, beta):
    node.start()
for node in (alpha, beta):
    use_volume(node, "log", LOG)
    disk(node, SMALL, "create")
create_copies(alpha, beta, kind="xfs")
alpha.wait_for_unit("cluster-up.service", timeout=SLOW)
wait_equal(alpha, beta, timeout=SLOW)
writes(alpha)
before = size(alpha)
room = int(alpha.succeed("df --output=size -B1 /srv/data | tail -n 1"))

with subtest("the disks are larger, the engines start anew: nothing moves, nobody is interrupted"):
    pid = alpha.get_unit_property("log.service", "MainPID")
    for node in (alpha, beta):
        disk(node, LARGE, "load")
        node.succeed("dmsetup suspend data; dmsetup resume data; systemctl restart hotspare-replicate@data")
    wait_equal(alpha, beta, timeout=SLOW)
    writes(alpha)
    t.assertEqual(size(alpha), before)

with subtest("the volume is larger, the kernel's device follows, and the file system after it"):
    said = alpha.wait_until_succeeds("hotspare-replicate resize data", timeout=SLOW)
    assert "xfs_growfs /srv/data" in said, said
    assert size(alpha) > before + (LARGE - SMALL - 8 << 20)
    alpha.wait_until_succeeds(f"test $(blockdev --getsize64 /dev/hotspare/data) -eq {size(alpha)}", timeout=SLOW)
    alpha.succeed("xfs_growfs /srv/data")
    assert int(alpha.succeed("df --output=size -B1 /srv/data | tail -n 1")) > room + (LARGE - SMALL - 8 << 20)
    writes(alpha)
    t.assertEqual(alpha.get_unit_property("log.service", "MainPID"), pid)
    alpha.fail("journalctl -k -o cat | grep -E 'I/O error|XFS.*(error|Corruption)'")

with subtest("more is written than there was room for, and the primary loses its power: the other node mounts all of it"):
    alpha.succeed(f"head -c 300M /dev/urandom > /srv/data/new; sync /srv/data/new")
    total = alpha.succeed("sha256sum < /srv/data/new")
    last = writes(alpha)
    alpha.crash()
    beta.wait_for_unit("cluster-up.service", timeout=SLOW)
    t.assertEqual(beta.succeed("sha256sum < /srv/data/new"), total)
    beta.succeed(f"grep -x {last} /srv/data/log")
    assert int(beta.succeed("df --output=size -B1 /srv/data | tail -n 1")) > room + (LARGE - SMALL - 8 << 20)
    writes(beta)
