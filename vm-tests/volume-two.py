# Two volumes in one group: a node leads with both of its copies or with none, and what was acknowledged on either is there. A node whose copy of one
# volume is away does not count, though its other copy is equal; it counts again when both are.
# lab-config: volume "data" { backing "/var/lib/data.img"; frontend "socket"; }; volume "log" { backing "/var/lib/log.img"; frontend "socket"; }; unit "writer.service"; unit "log-writer.service"; hold-down "1s"
from volumes import WRITER, acknowledged, make_copies, nothing_is_lost, wait_equal, wait_writes

VOLUMES = {"data": "", "log": ".log"}  # and where its user notes what was acknowledged


def equal(leader, other) -> None:
    for volume in VOLUMES:
        wait_equal(leader, other, volume=volume)


def more(leader) -> dict:
    return {which: wait_writes(leader, which=which) for which in VOLUMES.values()}


def there(leader, before: dict) -> None:
    for which, number in before.items():
        nothing_is_lost(leader, number, which)


make_copies(alpha, beta)
make_copies(alpha, beta, user="log-writer", unit=WRITER.replace("data.nbd", "log.nbd").replace("acknowledged", "acknowledged.log"), volume="log")
start_all()

with subtest("both copies are equal before the other node is ready, and it takes both over"):
    alpha.wait_for_unit("cluster-primary.target")
    equal(alpha, beta)
    more(alpha)
    alpha.succeed("hotspare switchover")
    beta.wait_for_unit("cluster-up.service")
    there(beta, {which: acknowledged(alpha, which) for which in VOLUMES.values()})
    equal(beta, alpha)

with subtest("the primary loses its power while it writes to both"):
    more(beta)
    beta.crash()
    alpha.wait_for_unit("cluster-up.service")
    beta.start()
    there(alpha, {which: acknowledged(beta, which) for which in VOLUMES.values()})
    equal(alpha, beta)

with subtest("one copy of the standby is away: the node does not count, its other copy stays equal, and nobody waits"):
    beta.succeed("systemctl stop hotspare-replicate@log")
    alpha.wait_until_succeeds("hotspare status | grep 'these copies count: alpha$'")
    alpha.succeed("hotspare-replicate status data --json | jq -e '.copies[] | select(.node == \"beta\" and .joined and (.counts | not))'")
    beta.wait_until_succeeds("hotspare status | grep 'cannot lead: its copy of the data cannot be used (hotspare-replicate status log;'")
    before = more(alpha)
    log.info(alpha.fail("hotspare switchover 2>&1").strip())

with subtest("the primary loses its power then: the other one does not lead, and says why"):
    alpha.crash()
    beta.succeed("systemctl start hotspare-replicate@log")
    beta.wait_until_succeeds("hotspare status | grep 'nobody leads; cannot lead: its copy of the data does not count (it misses what was written last)'", timeout=60)
    alpha.start()
    alpha.wait_for_unit("cluster-up.service")
    there(alpha, before)

with subtest("it counts again with both, and leads with both"):
    equal(alpha, beta)
    before = more(alpha)
    alpha.crash()
    beta.wait_for_unit("cluster-up.service")
    there(beta, before)
    more(beta)

with subtest("both copies that count are gone for good: an operator takes the others for the data, both of them"):
    beta.crash()
    alpha.start()
    witness.fail("hotspare force --volume log --reason 'there is no copy here at all' 2>&1")
    alpha.wait_until_succeeds("hotspare status | grep 'nobody leads; cannot lead: its copy of the data does not count'", timeout=60)
    said = alpha.succeed("hotspare force --volume log --reason 'beta has burned down with its disks'")
    assert "data, log: the copy on alpha is the data from now on" in said, said
    witness.copy_text("/etc/hotspare/cluster.kdl", alpha.succeed("cat /etc/hotspare/cluster.kdl"))
    witness.succeed("hotspare apply")
    alpha.wait_for_unit("cluster-up.service", timeout=120)
    generations = alpha.succeed("for volume in data log; do hotspare-replicate status $volume --json | jq -r .generation; done | sort -u").split()
    assert len(generations) == 1 and generations[0] not in said, (generations, said)
    more(alpha)
