# Three copies at two sites: two that count, and one far away that nobody waits for. A way to it that is cut or a copy there that
# stands still holds up nobody; it follows whoever leads and never leads by itself. When the site of the two has burned down, what
# is there is a past of the data, and an operator can go on with it.
# lab-config: volume "data" { backing "/var/lib/data.img"; frontend "socket"; }; unit "writer.service"; hold-down "2s"
import json

from volumes import make_copies, nothing_is_lost, wait_equal, wait_writes

FILE = "/etc/hotspare/cluster.kdl"
FLUSHED_EVERY, UNDER_WAY = 200, 16  # of lab-volume


def wait_follows(node) -> dict:
    """The copy on witness follows, by the word of `node`, which leads."""
    want = "[.copies[] | select(.node == \"witness\" and .joined and .behind)] | length == 1"
    node.wait_until_succeeds(f"hotspare-replicate status data --json | jq -e '{want}'", timeout=60)
    said = json.loads(node.succeed("hotspare-replicate status data --json"))
    [copy] = [copy for copy in said["copies"] if copy["node"] == "witness"]
    assert copy["counts"] is False, copy
    return copy


def journal(node, what: str) -> str:
    return node.execute(f"journalctl -b -o cat -u hotspare-replicate@data | grep '{what}'")[1]


make_copies(alpha, beta, witness)
start_all()
alpha.wait_for_unit("cluster-up.service")
wait_equal(alpha, beta)
text = alpha.succeed(f"cat {FILE}").replace('candidates "alpha" "beta"', 'candidates "alpha" "beta" "witness"')
text = text.replace('frontend "socket"', 'frontend "socket"; asynchronous "witness" lag="20s" lag-bytes="1MiB"', 1)

with subtest("a third candidate far away: it gets everything, follows, and does not count"):
    for node in (alpha, beta, witness):
        node.copy_text(FILE, text)
    witness.succeed("rm -f /etc/systemd/system/nginx.service; systemctl daemon-reload; hotspare-replicate create data")
    witness.succeed("systemctl enable --now hotspare-leased.service 2>&1; hotspare apply")
    beta.succeed("hotspare apply")
    alpha.succeed("hotspare apply")
    copy = wait_follows(alpha)
    t.assertEqual((copy["behind"]["bytes_most"], copy["behind"]["milliseconds_most"]), (1 << 20, 20000))
    wait_equal(alpha, beta)
    alpha.wait_until_succeeds("hotspare-replicate status data | grep -A1 'witness: follows, does not count' | grep 'ms behind; left behind from 1048576 bytes or 20000 ms on'")
    wait_writes(alpha)

with subtest("the way to it is cut: nobody waits, and it follows again when there is one"):
    alpha.succeed("ip route add unreachable 192.0.2.4; ip route add unreachable 198.51.100.4")
    alpha.wait_until_succeeds("hotspare-replicate status data --json | jq -e '[.copies[] | select(.node == \"witness\" and .joined)] | length == 0'")
    wait_writes(alpha)
    t.assertEqual(journal(alpha, "waits for the copy on witness"), "")
    alpha.succeed("ip route del unreachable 192.0.2.4; ip route del unreachable 198.51.100.4")
    wait_follows(alpha)

with subtest("it stands still: it is left behind, and made equal when it goes on"):
    witness.succeed("systemctl kill -s STOP hotspare-replicate@data")
    alpha.wait_until_succeeds("journalctl -o cat -u hotspare-replicate@data | grep 'the copy on witness is .* behind, more than it may be'")
    wait_writes(alpha)
    t.assertEqual(journal(alpha, "waits for the copy on witness"), "")
    witness.succeed("systemctl kill -s CONT hotspare-replicate@data")
    wait_follows(alpha)

with subtest("all copies are compared under load, that one too"):
    alpha.succeed("hotspare-replicate verify data")
    wait_follows(alpha)

with subtest("the role is handed over: it follows the new primary, and is not asked to lead"):
    before = wait_writes(alpha)
    alpha.succeed("hotspare switchover")
    beta.wait_for_unit("cluster-up.service")
    nothing_is_lost(beta, before)
    wait_equal(beta, alpha)
    wait_follows(beta)
    witness.succeed("hotspare status | grep 'stands by for beta; cannot lead: its copy of the data does not count (it is asynchronous: nobody waits for it)'")
    witness.succeed("hotspare-replicate status data | grep 'the copy that is written to was heard 0 s ago'")
    wait_writes(beta)

with subtest("the site of the two burns down under load, disks and all: what is left does not lead by itself"):
    wait_follows(beta)
    last = wait_writes(beta)
    for node in (beta, alpha):
        node.crash()
    witness.wait_until_succeeds("hotspare status --json | jq -e '[.groups[].quorum] | any | not'", timeout=60)
    witness.fail("systemctl is-active cluster-lease.service cluster-primary.target")

with subtest("an operator goes on with it: it is a past of the data, and everything that was flushed before its newest record is there"):
    witness.succeed("hotspare force --lost alpha --lost beta --reason 'the site of the two has burned down'")
    witness.wait_until_succeeds("hotspare status | grep 'its copy of the data does not count'", timeout=60)
    witness.succeed("hotspare force --volume data --reason 'the site of the two has burned down, with its disks'")
    witness.wait_for_unit("cluster-up.service", timeout=120)
    newest = int(witness.succeed("lab-volume check /var/lib/acknowledged 1"))
    nothing_is_lost(witness, newest - FLUSHED_EVERY - UNDER_WAY)
    log.info(f"{last} and a little more was acknowledged, {newest} is the newest record there")
    wait_writes(witness)
