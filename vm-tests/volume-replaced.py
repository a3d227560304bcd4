# A copy moves to another machine for good: the group gets another candidate, everything is copied there while the role is held, and the
# newcomer leads with all of it when the primary loses its power.
# lab-config: volume "data" { backing "/var/lib/data.img"; frontend "socket"; }; unit "writer.service"
from volumes import make_copies, nothing_is_lost, wait_equal, wait_writes

FILE = "/etc/hotspare/cluster.kdl"

make_copies(alpha, beta, witness)
start_all()
alpha.wait_for_unit("cluster-up.service")
wait_equal(alpha, beta)
wait_writes(alpha)
gate = alpha.get_unit_property("cluster-lease.service", "MainPID")

with subtest("witness is a candidate in place of beta: the primary takes it in without a move, and copies everything there"):
    text = alpha.succeed(f"cat {FILE}").replace('candidates "alpha" "beta"', 'candidates "alpha" "witness"', 1)
    for node in (alpha, beta, witness):
        node.copy_text(FILE, text)
    witness.succeed("rm -f /etc/systemd/system/nginx.service; systemctl daemon-reload; hotspare-replicate create data")
    witness.succeed("systemctl enable --now hotspare-leased.service 2>&1; hotspare apply")
    beta.succeed("hotspare apply")
    alpha.succeed("hotspare apply")
    alpha.wait_until_succeeds("journalctl -o cat -u hotspare-replicate@data | grep 'another candidate'")
    wait_equal(alpha, witness)
    t.assertEqual(alpha.get_unit_property("cluster-lease.service", "MainPID"), gate)
    alpha.require_unit_state("writer.service")
    wait_writes(alpha)

with subtest("beta is none any more: it does not count, and does not lead"):
    beta.fail("systemctl is-active hotspare-replicate@data.service")
    alpha.wait_until_succeeds("hotspare-replicate status data --json | jq -e '[.copies[] | select(.node == \"beta\" and .counts)] | length == 0'")

with subtest("the primary loses its power: the newcomer leads, with everything"):
    before = wait_writes(alpha)
    alpha.crash()
    witness.wait_for_unit("cluster-up.service", timeout=60)
    nothing_is_lost(witness, before)
    wait_writes(witness)
    beta.fail("systemctl is-active cluster-primary.target")
