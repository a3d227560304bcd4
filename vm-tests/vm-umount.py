# What keeps a file system from being unmounted when the role goes. A disk that hangs, and whatever unmounts the file system waits for it, where no signal
# reaches it: the volume ends that wait with errors. Somebody from outside the role who sits in it: he is named, and what he wrote goes along first.
# Either way the other node leads with everything that was acknowledged, and nobody has to reboot.
# lab-machines: alpha beta
# lab-config: volume "data" { backing "/dev/mapper/data"; mount "/srv/files" type="ext4"; }; unit "log.service"; outage-budget "22s"; hold-down "1s"
from shared_disk import LOG
from volumes import create_copies, use_volume

SLOW = 180  # an emulated processor

for node in (witness, client, alpha, beta):
    node.start()
for node in (alpha, beta):
    use_volume(node, "log", LOG)
    node.succeed("dmsetup create data --table \"0 $(blockdev --getsz /dev/vdb) linear /dev/vdb 0\"")
create_copies(alpha, beta, kind="ext4")
alpha.wait_for_unit("cluster-up.service", timeout=SLOW)
alpha.wait_until_succeeds("hotspare status | grep 'beta (ready)'", timeout=SLOW)
boots = [node.succeed("cat /proc/sys/kernel/random/boot_id") for node in (alpha, beta)]


def acknowledged(node) -> int:
    return int(node.wait_until_succeeds("cat /run/acknowledged", timeout=SLOW))


def leads(node, last: int) -> None:
    """With all that was acknowledged up to `last`, and on from there."""
    node.wait_for_unit("cluster-up.service", timeout=SLOW)
    node.wait_until_succeeds(f"test $(cat /run/acknowledged) -gt {last + 3}", timeout=SLOW)
    node.succeed("awk '$1 != NR { exit 1 }' /srv/files/log")


leads(alpha, 0)
with subtest("handed over while the disk hangs: the other node leads, with everything"):
    alpha.succeed("mkdir /srv/files/many; for n in $(seq 500); do echo $n > /srv/files/many/$n; done")  # there is something to be written
    alpha.succeed("dmsetup suspend --noflush --nolockfs data")
    before = acknowledged(alpha)
    alpha.succeed("hotspare switchover", timeout=SLOW)
    leads(beta, before)
    alpha.succeed("journalctl -b -o cat -u hotspare-replicate@data | grep 'has not answered for'")
    alpha.wait_until_fails("findmnt /srv/files", timeout=SLOW)

with subtest("the disk answers again: its copy is made equal, and nobody had to reboot"):
    alpha.succeed("dmsetup resume data")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'", timeout=SLOW)
    t.assertEqual(alpha.succeed("cat /proc/sys/kernel/random/boot_id"), boots[0])
    log.info(beta.succeed("hotspare-replicate verify data").strip())

with subtest("somebody from outside sits in the file system when the role goes: he is named, what he wrote goes along, and he gets nothing more written"):
    beta.succeed("systemd-run -q --unit=outsider sh -c 'cd /srv/files && echo kept > unsynced && exec sleep infinity'")
    pid = beta.wait_until_succeeds("pgrep -x sleep", timeout=SLOW).strip()
    before = acknowledged(beta)
    dead = beta.succeed("findmnt -n -o SOURCE /srv/files").strip()
    beta.succeed("hotspare switchover", timeout=SLOW)
    leads(alpha, before)
    alpha.succeed("grep -x kept /srv/files/unsynced")
    beta.succeed(f"journalctl -b -o cat -u hotspare-volume@data | grep 'is still in use: .*pid {pid} (sleep)'")
    beta.fail(f"echo more > /proc/{pid}/cwd/more && sync /proc/{pid}/cwd/more")
    beta.fail("findmnt /srv/files")

with subtest("the holder is killed while something is asked of it: that fails, and the node stands by"):
    alpha.wait_until_succeeds("hotspare status | grep 'beta (ready)'", timeout=SLOW)
    device = alpha.succeed("basename $(findmnt -n -o SOURCE /srv/files)").strip()
    before = acknowledged(alpha)
    alpha.succeed("systemctl kill -s STOP hotspare-volume@data")
    alpha.wait_until_succeeds(f"awk '$1 + $2 > 0 {{ found = 1 }} END {{ exit !found }}' /sys/block/{device}/inflight", timeout=SLOW)
    alpha.succeed("systemctl kill -s KILL hotspare-volume@data")
    leads(beta, before)
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'", timeout=SLOW)
    alpha.fail("findmnt /srv/files")
    t.assertEqual(alpha.succeed("cat /proc/sys/kernel/random/boot_id"), boots[0])

with subtest("whoever sits there does not keep his node from leading when it has to"):
    before = acknowledged(beta)
    beta.succeed("hotspare switchover")
    leads(alpha, before)
    alpha.wait_until_succeeds("hotspare status | grep 'beta (ready)'", timeout=SLOW)
    before = acknowledged(alpha)
    alpha.crash()
    leads(beta, before)
    beta.succeed(f"test -d /proc/{pid}")
    t.assertNotEqual(beta.succeed("findmnt -n -o SOURCE /srv/files").strip(), dead)
    if "nbd" in dead:  # one of ublk is taken away as soon as it is dead
        beta.succeed(f"journalctl -b -o cat -u hotspare-volume@data | grep 'of an earlier tenure is dead, and still in use: .*pid {pid} (sleep)'")
    beta.fail("ls /srv/files/more")
    t.assertEqual(beta.succeed("cat /proc/sys/kernel/random/boot_id"), boots[1])
