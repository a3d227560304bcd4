# Disks that fail, hang and take no writes any more, on real block devices (device-mapper): the role goes to the node with a good disk, nothing
# that was acknowledged is lost, and a disk that is well again gets what it missed.
# lab-machines: alpha beta
# lab-config: volume "data" { backing "/dev/mapper/data"; frontend "socket"; }; unit "writer.service"; outage-budget "11s"; hold-down "1s"
from volumes import WRITER, acknowledged, create_copies, nothing_is_lost, use_volume, wait_equal, wait_writes

SLOW = 180  # an emulated processor
GOOD = "linear /dev/vdb 0"
FAILS = "error"
TAKES_NO_WRITES = "flakey /dev/vdb 0 0 60 1 error_writes"


def disk(node, target: str) -> None:
    """Puts something else behind the device, under load."""
    node.succeed("dmsetup suspend --noflush --nolockfs data")
    node.succeed(f"dmsetup load data --table \"0 $(blockdev --getsz /dev/vdb) {target}\"; dmsetup resume data")


def says(node, what: str) -> None:
    node.wait_until_succeeds(f"journalctl -b -o cat -u hotspare-replicate@data | grep '{what}'", timeout=SLOW)


for node in (witness, alpha, beta):
    node.start()
for node in (alpha, beta):
    use_volume(node, "writer", WRITER)
    node.succeed("modprobe dm_flakey")
    node.succeed(f"dmsetup create data --table \"0 $(blockdev --getsz /dev/vdb) {GOOD}\"")
create_copies(alpha, beta)
alpha.wait_for_unit("cluster-up.service", timeout=SLOW)
wait_equal(alpha, beta, timeout=SLOW)
wait_writes(alpha, SLOW)

with subtest("the standby's disk fails: its copy does not count any more, and the primary goes on"):
    disk(beta, FAILS)
    says(alpha, "the copy on beta does not count any more")
    wait_writes(alpha, SLOW)
    alpha.require_unit_state("writer.service")
    beta.wait_until_succeeds("journalctl -b -o cat -u hotspare-replicate@data | grep -i 'Input/output error'", timeout=SLOW)

with subtest("it is well again: it gets what it missed, and counts"):
    disk(beta, GOOD)
    beta.succeed("systemctl reset-failed hotspare-replicate@data; systemctl restart hotspare-replicate@data")
    wait_equal(alpha, beta, timeout=SLOW)

with subtest("the primary's disk hangs: the role moves, though nothing says that anything is wrong"):
    alpha.succeed("dmsetup suspend --noflush --nolockfs data")
    says(alpha, "has not answered for")
    beta.wait_for_unit("cluster-up.service", timeout=SLOW)
    nothing_is_lost(beta, acknowledged(alpha))
    wait_writes(beta, SLOW)
    alpha.wait_until_fails("systemctl is-active writer.service hotspare-volume@data.service", timeout=SLOW)

with subtest("it answers again: it gets what it missed, and counts"):
    boot = alpha.succeed("cat /proc/sys/kernel/random/boot_id")
    alpha.succeed("dmsetup resume data")
    wait_equal(beta, alpha, timeout=SLOW)
    t.assertEqual(alpha.succeed("cat /proc/sys/kernel/random/boot_id"), boot)

with subtest("the primary's disk takes no writes any more: the role moves"):
    disk(beta, TAKES_NO_WRITES)
    says(beta, "the disk of this copy failed")
    alpha.wait_for_unit("cluster-up.service", timeout=SLOW)
    nothing_is_lost(alpha, acknowledged(beta))
    wait_writes(alpha, SLOW)

with subtest("and back"):
    disk(beta, GOOD)
    wait_equal(alpha, beta, timeout=SLOW)
    number = wait_writes(alpha, SLOW)
    alpha.succeed("hotspare switchover")
    beta.wait_for_unit("cluster-up.service", timeout=SLOW)
    nothing_is_lost(beta, number)
