# PostgreSQL on ext4 on a volume, in virtual machines: whatever happens to either node, every commit that a client was told of is there.
# lab-machines: alpha beta
# lab-config: volume "data" { backing "/dev/vdb"; mount "/srv/data" type="ext4"; }; unit "db.service"; outage-budget "11s"
from database import Database, leads, wait_equal, who_leads

db = Database(client, alpha, beta)
for node in (witness, client, alpha, beta):
    node.start()

with subtest("a disk with a file system and a database on it becomes a volume, and nothing is copied on it"):
    db.begin()
    t.assertEqual(alpha.succeed("findmnt -n -o SOURCE,FSTYPE /srv/data").split(), [alpha.succeed("readlink -f /dev/hotspare/data").strip(), "ext4"])
    wait_equal(alpha, beta)

with subtest("the engine is killed, and then upgraded, under load: a pause, no error, nothing moves"):
    pid = alpha.get_unit_property("db.service", "MainPID")
    for how in ("systemctl kill -s KILL hotspare-replicate@data", "systemctl restart hotspare-replicate@data"):
        alpha.succeed(how)
        db.commits_go_on()
    t.assertEqual(alpha.get_unit_property("db.service", "MainPID"), pid)
    alpha.fail("journalctl -k -o cat | grep -E 'I/O error|EXT4-fs (error|warning)'")
    wait_equal(alpha, beta)

with subtest("the role is handed over: unmounted here, mounted there"):
    alpha.succeed("hotspare switchover")
    leads(beta)
    alpha.fail("findmnt /srv/data")
    alpha.fail("test -e /dev/hotspare/data")
    db.nothing_is_lost(beta, db.commits_go_on())
    wait_equal(beta, alpha)

with subtest("the primary loses its power"):
    db.commits_go_on()
    beta.crash()
    leads(alpha)
    db.nothing_is_lost(alpha, db.commits_go_on())

with subtest("the standby comes back, and loses its power while it is made equal"):
    beta.start()
    beta.wait_for_unit("hotspare-replicate@data.service", timeout=180)
    db.commits_go_on()
    beta.crash()
    db.nothing_is_lost(alpha, db.commits_go_on())
    beta.start()
    wait_equal(alpha, beta)

with subtest("the primary is cut off under load: its writers get an error, it is unmounted, no reboot, and it is standby again"):
    boot = alpha.succeed("cat /proc/sys/kernel/random/boot_id")
    db.commits_go_on()
    alpha.block()
    leads(beta)
    db.nothing_is_lost(beta, db.commits_go_on())
    alpha.wait_until_fails("findmnt /srv/data || systemctl is-active db.service hotspare-volume@data.service", timeout=120)
    alpha.unblock()
    wait_equal(beta, alpha)
    t.assertEqual(alpha.succeed("cat /proc/sys/kernel/random/boot_id"), boot)
    alpha.require_unit_state("cluster-standby.target")

with subtest("both lose their power at once"):
    before = db.commits_go_on()
    alpha.crash()
    beta.crash()
    alpha.start()
    beta.start()
    alpha.wait_until_succeeds("hotspare status | grep -E 'primary: leads|stands by for beta'", timeout=180)
    after = db.commits_go_on(300)
    leader, _ = who_leads(alpha, beta)
    db.nothing_is_lost(leader, max(before, after))

with subtest("the backing is read without anything of ours"):
    client.succeed("systemctl stop commits")
    number = db.acknowledged()
    for node in (alpha, beta):
        node.succeed("systemctl stop hotspare-leased; systemctl stop cluster-lease.service cluster-primary.target || true")
    for node in (alpha, beta):
        node.wait_until_fails("systemctl is-active cluster-lease.service hotspare-volume@data.service", timeout=120)
        node.succeed("systemctl stop hotspare-replicate@data")
        node.succeed("mkdir -p /mnt/look; mount -o ro,noload /dev/vdb /mnt/look; test -s /mnt/look/db/PG_VERSION; umount /mnt/look")
