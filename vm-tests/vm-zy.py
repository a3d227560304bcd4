# A volume by the kernel's ublk driver, on real kernels, with a file system on it: what is asked of it arrives as what it is, its engine is killed
# under verified load without an error, and whatever ends the role ends the device: nothing is left behind, nothing is lost.
# lab-machines: alpha beta
# lab-config: volume "data" { backing "/dev/vdb"; frontend "nbd"; mount "/srv/data" type="ext4"; }; unit "log.service"; outage-budget "11s"; hold-down "1s"
from volumes import wait_equal

SLOW = 180  # an emulated processor
LOG = """[Service]
ExecStart=/bin/sh -c 'while :; do echo $$((n += 1)) >> /srv/data/log && sync /srv/data/log && echo $$n > /run/acknowledged; done'
"""
LOAD = "--name=v --filename=/srv/data/v --size=16M --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite --bs=4k --loops=3 --verify=crc32c --verify_fatal=1"


def writes(node) -> int:
    before = int(node.wait_until_succeeds("cat /run/acknowledged", timeout=SLOW))
    node.wait_until_succeeds(f"test $(cat /run/acknowledged) -gt {before + 5}", timeout=SLOW)
    return int(node.succeed("cat /run/acknowledged"))


def leads(node, last: int = 0) -> None:
    """With everything up to `last` in the file."""
    node.wait_for_unit("cluster-up.service", timeout=SLOW)
    if last:
        node.succeed(f"grep -qx {last} /srv/data/log")
    writes(node)


def nothing_is_left(node) -> None:
    node.wait_until_fails("systemctl is-active log.service hotspare-volume@data.service", timeout=SLOW)
    node.wait_until_fails("findmnt /srv/data", timeout=SLOW)
    node.wait_until_fails("ls /dev/ublkb* /dev/ublkc* /dev/hotspare/data", timeout=SLOW)


def kernel_is_well(node) -> None:
    node.fail("journalctl -k -o cat | grep -E 'BUG:|Oops|blocked for more than'")


for node in (witness, alpha, beta):
    node.start()
for node in (alpha, beta):
    node.copy_text("/etc/systemd/system/log.service", LOG)
    node.succeed("systemctl daemon-reload; systemctl stop hotspare-replicate@data")
alpha.succeed("hotspare-replicate create data --first --format ext4")
beta.succeed("hotspare-replicate create data")
for node in (alpha, beta):
    node.succeed("systemctl reset-failed; systemctl start hotspare-replicate@data")


import time
def look(what):
    log.info(what + "\n" + alpha.succeed("hotspare status --json | jq -c '.groups[0] | [.role,.epoch]'; top -H -b -n2 -d5 | awk '/^top/{n++} n==2 && m++ < 20'; cat /proc/loadavg"))
leads(alpha)
wait_equal(alpha, beta, timeout=SLOW)
look("log only")
alpha.succeed("systemctl stop log.service")
look("idle")
for how in ("--rw=randwrite --bs=4k --iodepth=1", "--rw=randwrite --bs=4k --iodepth=32", "--rw=randread --bs=4k --iodepth=32"):
    alpha.succeed(f"systemd-run -q --unit=load fio --name=v --filename=/srv/data/v --size=16M --direct=1 --ioengine=libaio --time_based --runtime=12 {how}")
    look(how)
    alpha.wait_until_fails("systemctl is-active load", timeout=SLOW)
    log.info(alpha.succeed("journalctl -o cat -u load | grep -E 'IOPS|clat .*avg' | tail -2"))
