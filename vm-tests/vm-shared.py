# A disk of a SAN that two machines see (an iSCSI target of Linux on the third): whoever takes the role takes the right to write first, and the disk itself
# refuses what the other one still writes, also where that has stood still and knows nothing. Where the disk is out of reach, what waits for it cannot
# be killed: the machine reboots itself before the other one leads.
# lab-machines: alpha beta witness
# lab-config: shared "/dev/disk/by-path/ip-192.0.2.4:3260-iscsi-iqn.2026-11.org.hotspare:disk-lun-0" { mount "/srv/files" type="ext4"; }; unit "log.service"; outage-budget "22s"; hold-down "1s"
from shared_disk import SharedDisk

TARGET = "iqn.2026-11.org.hotspare:disk"
DISK = f"/dev/disk/by-path/ip-192.0.2.4:3260-iscsi-{TARGET}-lun-0"
LOGIN = "systemctl start iscsid && iscsiadm -m discovery -t st -p 192.0.2.4 && iscsiadm -m node --login"
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

shared = SharedDisk(alpha, beta, DISK, LOGIN, f"sg_persist -n -k {DISK} | grep -c '^ *0x'", subtest)
shared.prepare({node.name: {"etc/iscsi/initiatorname.iscsi": f"InitiatorName={TARGET}.{node.name}\n"} for node in (alpha, beta)})
witness.start()
witness.succeed("mke2fs -q -t ext4 /dev/vdb", EXPORT)
shared.everything()
