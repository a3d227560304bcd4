# A volume by the kernel's ublk driver, on real kernels, with a file system on it: what is asked of it arrives as what it is, its engine is killed
# under verified load without an error, and whatever ends the role ends the device: nothing is left behind, nothing is lost.
# lab-machines: alpha beta
# lab-config: volume "data" { backing "/dev/vdb"; frontend "ublk"; mount "/srv/data" type="ext4"; }; unit "log.service"; outage-budget "22s"; hold-down "1s"
from volumes import create_copies, use_volume, wait_equal

SLOW = 180  # an emulated processor
LOG = """[Service]
ExecStart=/bin/sh -c 'while :; do echo $$((n += 1)) >> /srv/data/log && sync /srv/data/log && echo $$n > /run/acknowledged; done'
"""
LOAD = "--name=v --filename=/srv/data/v --size=4M --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite --bs=4k --loops=2 --verify=crc32c --verify_fatal=1"


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
    use_volume(node, "log", LOG)
create_copies(alpha, beta, kind="ext4")

with subtest("the device is ublk's, and says what it can"):
    leads(alpha)
    wait_equal(alpha, beta, timeout=SLOW)
    t.assertEqual(alpha.succeed("readlink -f /dev/hotspare/data; findmnt -n -o SOURCE /srv/data").split(), ["/dev/ublkb0"] * 2)
    queue = alpha.succeed("cd /sys/block/ublkb0/queue; cat write_cache fua; echo $(($(cat discard_max_bytes) > 0 && $(cat write_zeroes_max_bytes) > 0))")
    t.assertEqual(queue.split(), ["write", "back", "1", "1"])

with subtest("what was not asked for as data is the same on both sides: discards, zeros"):
    alpha.succeed("head -c 8M /dev/urandom > /srv/data/away; sync /srv/data/away; rm /srv/data/away; fstrim /srv/data")
    alpha.succeed("fallocate -l 4M /srv/data/zeros; fallocate --zero-range -l 4M /srv/data/zeros; sync /srv/data/zeros")
    alpha.succeed("hotspare-replicate verify data")

with subtest("the engine is killed, and then upgraded, under verified load: a pause, no error, nothing moves"):
    pid = alpha.get_unit_property("log.service", "MainPID")
    for how in ("systemctl kill -s KILL hotspare-replicate@data", "systemctl restart hotspare-replicate@data"):
        alpha.succeed(f"systemctl reset-failed 'load*'; systemd-run -q --unit=load --property=RemainAfterExit=yes fio {LOAD}")
        alpha.wait_until_succeeds("test $(stat -c %b /srv/data/v) -gt 500", timeout=SLOW)
        alpha.succeed(how)
        alpha.wait_until_succeeds("systemctl show -P SubState load | grep exited", timeout=SLOW)
        t.assertEqual(alpha.succeed("systemctl show -P Result load").strip(), "success")
        alpha.succeed("systemctl stop load; rm /srv/data/v")
        writes(alpha)
    t.assertEqual(alpha.get_unit_property("log.service", "MainPID"), pid)
    alpha.fail("journalctl -k -o cat | grep -E 'I/O error|EXT4-fs (error|warning)'")
    wait_equal(alpha, beta, timeout=SLOW)

with subtest("the role is handed over: no device is left here"):
    last = writes(alpha)
    alpha.succeed("hotspare switchover")
    leads(beta, last)
    nothing_is_left(alpha)
    wait_equal(beta, alpha, timeout=SLOW)

with subtest("somebody keeps the device open when the role goes: it is named, the device is dead, and the role comes back on another one"):
    beta.succeed("systemd-run -q --unit=keeper --property=IgnoreOnIsolate=yes --property=StandardInput=file:/dev/hotspare/data sleep infinity")
    last = writes(beta)
    beta.succeed("hotspare switchover")
    leads(alpha, last)
    beta.succeed("journalctl -b -o cat -u hotspare-volume@data | grep -E 'is still in use: .*pid [0-9]+ .sleep'")
    beta.fail("dd if=/proc/$(systemctl show -P MainPID keeper)/fd/0 of=/dev/null bs=4k count=1 iflag=direct")
    wait_equal(alpha, beta, timeout=SLOW)
    last = writes(alpha)
    alpha.succeed("hotspare switchover")
    leads(beta, last)
    beta.succeed("systemctl stop keeper")
    wait_equal(beta, alpha, timeout=SLOW)

with subtest("the primary is cut off under load: its user gets an error, no reboot, and it is standby again"):
    boot = beta.succeed("cat /proc/sys/kernel/random/boot_id")
    last = writes(beta)
    beta.block()
    leads(alpha, last)
    nothing_is_left(beta)
    beta.unblock()
    wait_equal(alpha, beta, timeout=SLOW)
    t.assertEqual(beta.succeed("cat /proc/sys/kernel/random/boot_id"), boot)

with subtest("the primary loses its power"):
    last = writes(alpha)
    alpha.crash()
    leads(beta, last)
    alpha.start()
    wait_equal(beta, alpha, timeout=SLOW)

with subtest("what holds the device is killed under load: its user loses it, and the other node goes on with everything"):
    last = writes(beta)
    beta.succeed("systemctl kill -s KILL hotspare-volume@data")
    leads(alpha, last)
    beta.wait_until_fails("systemctl is-active log.service hotspare-volume@data.service", timeout=SLOW)
    wait_equal(alpha, beta, ready=False, timeout=SLOW)

with subtest("and the node takes it again: what was left of the device is gone"):
    last = writes(alpha)
    alpha.crash()
    leads(beta, last)
    t.assertEqual(beta.succeed("ls /dev/ublkc*").split(), [beta.succeed("readlink -f /dev/hotspare/data | sed s/ublkb/ublkc/").strip()])
    kernel_is_well(beta)
