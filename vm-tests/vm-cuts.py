# Power cuts at random moments, of the primary, of the standby, of both, some while a machine comes back from another one, and PostgreSQL commits on a
# volume all the while: CUTS=100 SEED=1 make vm NAME=vm-cuts. After each, every commit that a client was told of is there; at the end all copies are
# the same.
# lab-machines: alpha beta
# lab-config: volume "data" { backing "/dev/vdb"; mount "/srv/data" type="ext4"; }; unit "db.service"; outage-budget "22s"; hold-down "1s"; moves-per-hour 0
import os
import random

from database import SLOW, Database, leads, wait_equal, who_leads

CUTS, SEED = int(os.environ.get("CUTS", "5")), int(os.environ.get("SEED", "1"))
rng = random.Random(SEED)
cuts = 0


# How far a machine is on its way back when its power goes once more.
STAGES = (
    lambda node: None,
    lambda node: node.wait_booted(),
    lambda node: node.wait_for_unit("hotspare-replicate@data.service", timeout=SLOW),
    lambda node: node.wait_for_unit("hotspare-leased.service", timeout=SLOW),
)


def cut(*nodes) -> None:
    global cuts
    for node in nodes:
        node.crash()
        cuts += 1


db = Database(client, alpha, beta)
for node in (witness, client, alpha, beta):
    node.start()
db.begin()
leader, other = alpha, beta
wait_equal(leader, other)
while cuts < CUTS:
    kind = rng.choice(("primary", "primary", "standby", "both", "both"))
    before = db.commits_go_on(300, rng.randrange(1, 80))  # somewhere between two commits
    cut(*{"primary": [leader], "standby": [other], "both": [leader, other]}[kind])
    gone = other if kind == "standby" else leader
    gone.start()
    if kind == "both":
        other.start()
    elif rng.random() < 0.5:  # on its way back: while it boots, or is made equal
        kind += ", and again"
        rng.choice(STAGES)(gone)
        cut(gone)
        gone.start()
    before = max(before, db.acknowledged())
    with subtest(f"{cuts} cuts: the {kind}"):
        db.commits_go_on(400)
        leader, other = who_leads(alpha, beta)
        leads(leader)
        db.nothing_is_lost(leader, before)
        wait_equal(leader, other)

with subtest("all copies are the same, and no file system was broken"):
    client.succeed("systemctl stop commits")
    db.nothing_is_lost(leader, db.acknowledged())
    log.info(leader.succeed("hotspare-replicate verify data").strip())
    for node in (alpha, beta):
        node.fail("journalctl -k -o cat | grep -E 'EXT4-fs (error|warning)|BUG:|Oops'")
log.info(f"{cuts} power cuts from seed {SEED}, {db.acknowledged()} commits acknowledged, none lost")
