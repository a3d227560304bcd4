# A namespace of NVMe that two machines see (a target of Linux on the third, over TCP), with reservations: as vm-shared, with the other kind of disk.
# Linux's target keeps reservations since 6.13.
# lab-machines: alpha beta witness
# lab-kernel: backports
# lab-config: shared "/dev/disk/by-id/nvme-uuid.5ca1ab1e-0000-4000-8000-000000000001" { mount "/srv/files" type="ext4"; }; unit "log.service"; outage-budget "22s"; hold-down "1s"
from shared_disk import SharedDisk

TARGET = "nqn.2026-11.org.hotspare:disk"
UUID = "5ca1ab1e-0000-4000-8000-000000000001"
DISK = f"/dev/disk/by-id/nvme-uuid.{UUID}"
# What nvmetcli would do.
EXPORT = f"""modprobe nvmet-tcp
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
cd /sys/kernel/config/nvmet
mkdir -p subsystems/{TARGET}/namespaces/1 ports/1
echo 1 > subsystems/{TARGET}/attr_allow_any_host
cd subsystems/{TARGET}/namespaces/1
echo -n /dev/vdb > device_path
echo {UUID} > device_uuid
echo 1 > resv_enable
echo 1 > enable
cd /sys/kernel/config/nvmet/ports/1
echo tcp > addr_trtype
echo ipv4 > addr_adrfam
echo 0.0.0.0 > addr_traddr
echo 4420 > addr_trsvcid
ln -s /sys/kernel/config/nvmet/subsystems/{TARGET} subsystems/{TARGET}
"""
LOGIN = f"modprobe nvme-tcp && nvme connect -t tcp -a 192.0.2.4 -s 4420 -n {TARGET}"


def host(number: int) -> dict[str, str]:
    """A reservation is the host's, by this number, whatever it is reached by."""
    own = f"5ca1ab1e-0000-4000-8000-0000000001{number:02}"
    return {"etc/nvme/hostnqn": f"nqn.2014-08.org.nvmexpress:uuid:{own}\n", "etc/nvme/hostid": f"{own}\n"}


shared = SharedDisk(alpha, beta, DISK, LOGIN, f"nvme resv-report {DISK} -e -o json | jq .regctl", subtest)
shared.prepare({node.name: host(number) for number, node in enumerate((alpha, beta), 1)})
witness.start()
witness.succeed("mke2fs -q -t ext4 /dev/vdb", EXPORT)
shared.everything()

with subtest("somebody who is no node of the cluster has registered a key: that is said"):
    witness.copy_text("/etc/nvme/hostid", "5ca1ab1e-0000-4000-8000-000000000199\n")
    witness.copy_text("/etc/nvme/hostnqn", "nqn.2014-08.org.nvmexpress:uuid:5ca1ab1e-0000-4000-8000-000000000199\n")
    witness.succeed(LOGIN, f"udevadm wait --timeout=120 {DISK}", f"nvme resv-register {DISK} --nrkey=0x77 --rrega=0")
    beta.succeed("hotspare switchover")
    shared.leads(alpha, 0, "beta")
    alpha.succeed("journalctl -b -o cat -u cluster-disk-1 | grep 'whoever registered the key 0x77 can write to it as well'")
    beta.succeed("journalctl -b -o cat -u cluster-disk-1 | grep 'can write to it now'")
    beta.fail("journalctl -b -o cat -u cluster-disk-1 | grep 'whoever registered the key'")
