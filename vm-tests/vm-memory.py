# Memory is short on the node that leads, and what would free some has to go through the volume first: the file system on it is dirty, a
# program takes more than there is, and the machine swaps. The way of a write waits for no memory: everything ends, nobody is killed.
# lab-machines: alpha beta
# lab-config: volume "data" { backing "/dev/vdb"; mount "/srv/data" type="ext4"; }; unit "user.service"; outage-budget "30s"
from volumes import create_copies, use_volume, wait_equal

SLOW = 300  # an emulated processor
DIRTY, TAKES = 300, 850  # MiB; the machine has 1024


def says(node, what: str) -> str:
    return node.succeed(f"journalctl -b -o cat -u hotspare-replicate@data -u hotspare-volume@data | grep '{what}' || true")


for node in (alpha, beta):
    node.data_mb = 400
for node in (witness, alpha, beta):
    node.start()
for node in (alpha, beta):
    use_volume(node, "user", "[Service]\nExecStart=sleep infinity\n")
    node.succeed("mkswap -q /dev/vdc; swapon /dev/vdc")
create_copies(alpha, beta, kind="ext4")
alpha.wait_for_unit("cluster-up.service", timeout=SLOW)
wait_equal(alpha, beta, timeout=SLOW)

with subtest("memory of the engine and the holder is locked, and what they write is told to the kernel as such"):
    for node, unit in ((alpha, "hotspare-replicate@data"), (alpha, "hotspare-volume@data"), (beta, "hotspare-replicate@data")):
        pid = node.get_unit_property(f"{unit}.service", "MainPID")
        node.succeed(f"test $(awk '/^VmLck/ {{ print $2 }}' /proc/{pid}/status) -gt 1000")
        t.assertEqual(node.get_unit_property(f"{unit}.service", "OOMScoreAdjust"), "-1000")
        t.assertEqual(says(node, "no I/O flusher"), "")

with subtest("dirty pages, more than memory is taken, and the machine swaps: all of it ends, and nobody is killed"):
    pids = [alpha.get_unit_property(f"{unit}.service", "MainPID") for unit in ("hotspare-replicate@data", "hotspare-volume@data")]
    alpha.succeed("sysctl -qw vm.dirty_ratio=90 vm.dirty_background_ratio=80 vm.swappiness=100")
    # What is in a tmpfs can only be swapped out (and zeros are not even that).
    alpha.succeed("mkdir /run/hog && mount -t tmpfs -o size=1000M hog /run/hog")
    alpha.succeed(f"systemd-run -q --unit=hog sh -c 'yes | head -c {TAKES}M > /run/hog/all && touch /run/taken'")
    alpha.succeed(f"systemd-run -q --unit=dirt sh -c 'head -c {DIRTY}M /dev/urandom > /srv/data/dirt && sync /srv/data/dirt && touch /run/written'")
    alpha.wait_until_succeeds("test -e /run/written", timeout=SLOW)
    alpha.wait_until_succeeds("test -e /run/taken", timeout=SLOW)
    swapped = int(alpha.succeed("awk '/^pswpout/ { print $2 }' /proc/vmstat"))
    assert swapped > 2_000, f"{swapped} pages were swapped out: memory was not short"
    log.info(f"{swapped} pages were swapped out")
    for pid in pids:
        t.assertEqual(alpha.succeed(f"awk '/^VmSwap/ {{ print $2 }}' /proc/{pid}/status").strip(), "0")
    alpha.succeed("umount /run/hog")
    alpha.fail("journalctl -k -o cat | grep -E 'Out of memory|I/O error|blocked for more than'")

with subtest("what was written is on both, and nothing has moved"):
    total = alpha.succeed("sha256sum < /srv/data/dirt")
    wait_equal(alpha, beta, timeout=SLOW)
    alpha.succeed("hotspare switchover")
    beta.wait_for_unit("cluster-up.service", timeout=SLOW)
    t.assertEqual(beta.succeed("sha256sum < /srv/data/dirt"), total)
