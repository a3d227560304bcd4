# A group that has a volume with data gets a second one: it begins where the group is led from alone, and the other nodes are candidates again when they
# have both. Before that a copy that was said to have the first data is refused, and loses nothing.
# lab-config: volume "data" { backing "/var/lib/data.img"; frontend "socket"; }; unit "writer.service"; hold-down "1s"
from volumes import make_copies, nothing_is_lost, wait_equal, wait_writes

FILE = "/etc/hotspare/cluster.kdl"

make_copies(alpha, beta)
start_all()
alpha.wait_for_unit("cluster-up.service")
wait_equal(alpha, beta)
wait_writes(alpha)
text = alpha.succeed(f"cat {FILE}").replace('unit "writer.service"', 'volume "log" { backing "/var/lib/log.img"; frontend "socket"; }; unit "writer.service"', 1)

with subtest("the standby's copy is away, so that the primary's alone counts"):
    beta.succeed("systemctl stop hotspare-replicate@data")
    alpha.wait_until_succeeds("hotspare status | grep 'these copies count: alpha$'")

with subtest("the new file is everywhere, and nothing moves; the copy begins where the role is"):
    for node in (alpha, beta, witness):
        node.copy_text(FILE, text)
    alpha.succeed("truncate -s 64M /var/lib/log.img; hotspare-replicate create log --first")
    for node in (witness, alpha):
        node.succeed("hotspare apply")
    alpha.succeed("systemctl start hotspare-replicate@log")
    alpha.require_unit_state("writer.service")
    wait_writes(alpha)

with subtest("the other node cannot come back with its first copy alone"):
    beta.succeed("hotspare apply; systemctl start hotspare-replicate@data")
    alpha.wait_until_succeeds("hotspare-replicate status data --json | jq -e '.copies[] | select(.node == \"beta\" and .joined)'", timeout=60)
    alpha.succeed("hotspare status | grep 'these copies count: alpha$'")
    beta.wait_until_succeeds("hotspare status | grep 'hotspare-replicate status log;'")

with subtest("the role begins anew with both: an outage as long as the service's own start"):
    before = wait_writes(alpha)
    alpha.succeed("systemctl start cluster-standby.target")
    alpha.wait_until_succeeds("systemctl is-active hotspare-volume@log.service")
    alpha.wait_for_unit("cluster-up.service")
    nothing_is_lost(alpha, before)

with subtest("with both copies the other node is a candidate again, and leads with both"):
    beta.succeed("truncate -s 64M /var/lib/log.img; hotspare-replicate create log; systemctl reset-failed hotspare-replicate@log; systemctl start hotspare-replicate@log")
    for volume in ("data", "log"):
        wait_equal(alpha, beta, volume=volume)
    before = wait_writes(alpha)
    alpha.crash()
    beta.wait_for_unit("cluster-up.service")
    nothing_is_lost(beta, before)
    beta.require_unit_state("hotspare-volume@log.service")
