# A disk of a SAN that two machines see (an iSCSI target of Linux on the third): whoever takes the role takes the right to write first, and the disk itself
# refuses what the other one still writes, also where that has stood still and knows nothing. Where the disk is out of reach, what waits for it cannot
# be killed: the machine reboots itself before the other one leads.
# lab-machines: alpha beta witness
# lab-config: shared "/dev/disk/by-path/ip-192.0.2.4:3260-iscsi-iqn.2026-11.org.hotspare:disk-lun-0" { mount "/srv/files" type="ext4"; }; unit "log.service"; outage-budget "22s"; hold-down "1s"
import time

SLOW = 240  # an emulated processor
TARGET = "iqn.2026-11.org.hotspare:disk"
DISK = f"/dev/disk/by-path/ip-192.0.2.4:3260-iscsi-{TARGET}-lun-0"
# What targetcli would do.
EXPORT = f"""mkdir -p /etc/target/pr  # where it keeps reservations
modprobe -a target_core_mod target_core_iblock iscsi_target_mod
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
cd /sys/kernel/config/target
mkdir -p core/iblock_0/disk iscsi/{TARGET}/tpgt_1
echo -n udev_path=/dev/vdb > core/iblock_0/disk/control
echo -n a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6 > core/iblock_0/disk/wwn/vpd_unit_serial
echo 1 > core/iblock_0/disk/enable
cd iscsi/{TARGET}/tpgt_1
mkdir -p lun/lun_0 np/0.0.0.0:3260
ln -s /sys/kernel/config/target/core/iblock_0/disk lun/lun_0/disk
echo 0 > attrib/authentication
for name in alpha beta; do
    mkdir -p acls/{TARGET}.$name/lun_0
    ln -s $PWD/lun/lun_0 acls/{TARGET}.$name/lun_0/disk
done
echo 1 > enable
"""
LOGIN = f"""[Unit]
Description=The disk of the SAN
Wants=iscsid.service
After=iscsid.service systemd-networkd.service
Before=hotspare-leased.service
[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=300
ExecStart=/bin/sh -c '/usr/lib/systemd/systemd-networkd-wait-online -i eth1 && iscsiadm -m discovery -t st -p 192.0.2.4 && iscsiadm -m node --login && udevadm wait --timeout=120 {DISK}'
[Install]
WantedBy=multi-user.target
"""
LOG = """[Service]
ExecStart=/bin/sh -c 'n=$$(tail -n 1 /srv/files/log 2> /dev/null || echo 0); while :; do echo $$((n += 1)) >> /srv/files/log && sync /srv/files/log && echo $$n > /run/acknowledged; done'
"""


def writes(node) -> int:
    before = int(node.wait_until_succeeds("cat /run/acknowledged", timeout=SLOW))
    node.wait_until_succeeds(f"test $(cat /run/acknowledged) -gt {before + 3}", timeout=SLOW)
    return int(node.succeed("cat /run/acknowledged"))


def leads(node, last: int, taken_from: str) -> None:
    """With everything up to `last` in the file, in order, and the disk for itself."""
    node.wait_for_unit("cluster-up.service", timeout=SLOW)
    said = node.succeed("journalctl -b -o cat -u cluster-disk-1 | grep 'can write to it now' | tail -n 1")
    assert f"only {node.name} can write to it now (taken from: {taken_from})" in said, said
    assert writes(node) > last
    node.succeed("awk '$1 != NR { exit 1 }' /srv/files/log")
    node.fail("journalctl -b -k -o cat | grep -E 'BUG:|Oops|EXT4-fs error'")


def is_refused(node) -> None:
    """The disk takes nothing from this machine, and not because it is out of reach."""
    node.succeed(f"dd if={DISK} of=/dev/null bs=4096 count=1 iflag=direct status=none")
    assert "Invalid exchange" in node.fail(f"dd if=/dev/zero of={DISK} bs=4096 count=1 seek=20000 oflag=direct status=none 2>&1")


def stands_by(node, leader) -> None:
    node.wait_for_unit("cluster-standby.target", timeout=SLOW)
    node.wait_until_fails("systemctl is-active log.service cluster-disk-1.service || findmnt /srv/files", timeout=SLOW)
    leader.wait_until_succeeds(f"hotspare status | grep '{node.name} (ready)'", timeout=SLOW)


def wakes_up(node) -> None:
    """It is past its time, whatever it believes: what of its role does not end at once is ended with a reset."""
    node.thaw()
    deadline = time.monotonic() + SLOW
    while time.monotonic() < deadline:
        if node.process.poll() is not None:
            node.wait_for_shutdown()
            return node.start()
        if node.run("systemctl is-active cluster-standby.target", 20)[0] == 0:
            return None
    raise AssertionError(f"{node.name} neither stands by nor resets itself")


for node in (alpha, beta):
    for path, text in (("etc/iscsi/initiatorname.iscsi", f"InitiatorName={TARGET}.{node.name}\n"), ("etc/systemd/system/disk.service", LOGIN), ("etc/systemd/system/log.service", LOG)):
        (node.root / path).parent.mkdir(parents=True, exist_ok=True)
        (node.root / path).write_text(text)
    (node.root / "srv/files").mkdir(parents=True)
    (node.root / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    (node.root / "etc/systemd/system/multi-user.target.wants/disk.service").symlink_to("/etc/systemd/system/disk.service")
# It votes at once, and is a candidate when the other one has led.
(beta.root / "etc/systemd/system/multi-user.target.wants/hotspare-leased.service").unlink()
witness.start()
witness.succeed("mke2fs -q -t ext4 /dev/vdb", EXPORT)
alpha.start()
beta.start()

with subtest("the role takes the disk before it mounts it, and nobody else can write to it"):
    leads(alpha, 0, "nobody")
    beta.succeed("systemctl enable --now hotspare-leased")
    assert "in use on this machine" in alpha.fail(f"hotspare-fence claim {DISK} 2>&1")  # an older mount would be, too
    beta.wait_for_unit("disk.service", timeout=SLOW)
    is_refused(beta)
    stands_by(beta, alpha)

with subtest("handed over: the other one can write, this one can not"):
    before = writes(alpha)
    alpha.succeed("hotspare switchover")
    leads(beta, before, "alpha")
    stands_by(alpha, beta)
    is_refused(alpha)
    assert "1 registered" in beta.succeed(f"sg_persist -n -k {DISK}")

with subtest("a machine that stood still wakes up as the primary that it was, and the disk takes nothing from it"):
    before = writes(beta)
    beta.freeze()
    leads(alpha, before, "beta")
    wakes_up(beta)
    stands_by(beta, alpha)
    is_refused(beta)
    leads(alpha, writes(alpha), "beta")

with subtest("the primary loses its power"):
    before = writes(alpha)
    alpha.crash()
    leads(beta, before, "alpha")
    alpha.start()
    stands_by(alpha, beta)

with subtest("the primary is cut off from everything, its disk included: it reboots itself, since nobody can kill what waits for the disk"):
    before = writes(beta)
    beta.block()
    beta.wait_for_shutdown(timeout=SLOW)  # a reset ends the emulator
    assert "reboot: Restarting system" in beta.console.read_text(errors="replace")  # not a panic; the journal's last words are lost with it
    leads(alpha, before, "beta")
    beta.start()
    stands_by(beta, alpha)
