# The only copy that counts is gone for good, with its disk: nobody leads, until an operator says whose copy takes its place. That one is
# the data from then on; the old disk, should it turn up again, is not.
# lab-config: volume "data" { backing "/var/lib/data.img"; frontend "socket"; }; unit "writer.service"; hold-down "2s"
from volumes import make_copies, wait_writes

FILE = "/etc/hotspare/cluster.kdl"
BACKING = "var/lib/data.img"
EQUAL = '[.copies[] | select(.joined and .counts)] | length == 1'

make_copies(alpha, beta)
start_all()
alpha.wait_for_unit("cluster-up.service")
alpha.wait_until_succeeds(f"hotspare-replicate status data --json | jq -e '{EQUAL}'", timeout=60)
wait_writes(alpha)

with subtest("where a copy that counts can lead there is nothing to force"):
    assert "leads default: the data is there" in beta.fail("hotspare force --volume data --reason 'I want to see what happens' 2>&1")

with subtest("the standby is away, the primary goes on, and burns down with its disk"):
    beta.crash()
    alpha.wait_until_succeeds("journalctl -o cat -u hotspare-replicate@data | grep 'the copy on beta does not count any more'")
    kept = wait_writes(alpha)
    wait_writes(alpha)
    alpha.crash()
    (alpha.root / BACKING).rename(alpha.root / "var/lib/old.img")

with subtest("what is left does not lead by itself"):
    beta.start()
    beta.wait_until_succeeds("hotspare status | grep 'nobody leads; cannot lead: its copy of the data does not count'", timeout=60)
    assert "says too little" in beta.fail("hotspare force --volume data --reason fire 2>&1")

with subtest("an operator takes it for the data, with a reason"):
    old = beta.succeed("hotspare-replicate status data --json | jq -r .generation").strip()
    beta.succeed("hotspare force --volume data --reason 'alpha has burned down with its disk'")
    written = beta.succeed(f"cat {FILE}").replace('"', "")  # KDL needs no quotes around a word, and a generation may look like one
    assert f"abandon {old} for=beta" in written, written
    witness.copy_text(FILE, beta.succeed(f"cat {FILE}"))
    witness.succeed("hotspare apply")
    beta.wait_for_unit("cluster-up.service", timeout=120)
    new = beta.succeed("hotspare-replicate status data --json | jq -r .generation").strip()
    t.assertNotEqual(new, old)
    found = int(beta.succeed("lab-volume check /var/lib/acknowledged 1"))
    log.info(f"{found} records are left of more than {kept}")
    wait_writes(beta)

with subtest("the old disk turns up again with the old file: it is not heard, and does not lead"):
    (alpha.root / "var/lib/old.img").rename(alpha.root / BACKING)
    alpha.start()
    alpha.wait_until_succeeds("hotspare status | grep -E 'no quorum|NO QUORUM'", timeout=60)
    wait_writes(beta)
    alpha.fail("systemctl is-active cluster-lease.service")

with subtest("with the new file it is refused as other data, made anew, and counts"):
    alpha.copy_text(FILE, beta.succeed(f"cat {FILE}"))
    alpha.succeed("hotspare apply")
    beta.wait_until_succeeds("journalctl -o cat -u hotspare-replicate@data | grep 'the copy on alpha takes nothing from here'", timeout=60)
    alpha.succeed("systemctl stop hotspare-replicate@data; hotspare-replicate create data --again; systemctl start hotspare-replicate@data")
    beta.wait_until_succeeds(f"hotspare-replicate status data --json | jq -e '{EQUAL}'", timeout=60)
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'", timeout=60)
    beta.succeed("hotspare switchover")
    alpha.wait_for_unit("cluster-up.service")
    wait_writes(alpha)
