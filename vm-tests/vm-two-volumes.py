# PostgreSQL with its log on a volume of its own, mounted within the other one, in virtual machines: every commit that a client was told of is there, whether
# the role is handed over, the primary loses its power or both do; both are mounted in order and unmounted in reverse.
# lab-machines: alpha beta
# lab-config: volume "data" { backing "/dev/vdb"; mount "/srv/data" type="ext4"; }; volume "log" { backing "/dev/vdc"; mount "/srv/data/db/pg_wal" type="ext4"; }; unit "db.service"; outage-budget "22s"; hold-down "1s"
from database import Database, leads, wait_equal, who_leads

MOUNTED = "findmnt -n -o SOURCE,FSTYPE /srv/data; findmnt -n -o SOURCE,FSTYPE /srv/data/db/pg_wal"


def both_equal(leader, other) -> None:
    for volume in ("data", "log"):
        wait_equal(leader, other, volume)


db = Database(client, alpha, beta)
for node in (witness, client, alpha, beta):
    node.start()

with subtest("two disks become two volumes, one mounted within the other"):
    db.begin(log="/dev/vdc")
    devices = [alpha.succeed(f"readlink -f /dev/hotspare/{volume}").strip() for volume in ("data", "log")]
    t.assertEqual(alpha.succeed(MOUNTED).split(), [devices[0], "ext4", devices[1], "ext4"])
    both_equal(alpha, beta)

with subtest("the role is handed over: both are unmounted here and mounted there"):
    alpha.succeed("hotspare switchover")
    leads(beta)
    alpha.fail("findmnt /srv/data || findmnt /srv/data/db/pg_wal")
    db.nothing_is_lost(beta, db.commits_go_on())
    both_equal(beta, alpha)

with subtest("the engine of the log is killed: a pause, no error, nothing moves"):
    beta.succeed("systemctl kill -s KILL hotspare-replicate@log")
    db.nothing_is_lost(beta, db.commits_go_on())
    both_equal(beta, alpha)

with subtest("the primary loses its power"):
    db.commits_go_on()
    beta.crash()
    leads(alpha)
    db.nothing_is_lost(alpha, db.commits_go_on())
    beta.start()
    both_equal(alpha, beta)

with subtest("both lose their power at once"):
    before = db.commits_go_on()
    alpha.crash()
    beta.crash()
    before = max(before, db.acknowledged())
    alpha.start()
    beta.start()
    db.commits_go_on(600)
    leader, other = who_leads(alpha, beta)
    db.nothing_is_lost(leader, before)
    both_equal(leader, other)

with subtest("cut off under load: nothing of it is mounted, and all copies are the same at the end"):
    db.commits_go_on()
    leader.block()
    leads(other)
    db.nothing_is_lost(other, db.commits_go_on())
    leader.wait_until_fails("findmnt /srv/data || systemctl is-active db.service hotspare-volume@data.service hotspare-volume@log.service", timeout=120)
    leader.unblock()
    both_equal(other, leader)
    client.succeed("systemctl stop commits")
    for volume in ("data", "log"):
        log.info(other.succeed(f"hotspare-replicate verify {volume}").strip())
