# A disk that is full to its last byte: its metadata is in a file of its own. Nothing on it is touched; it leads, follows, loses its power and grows like
# any other; and the file is not believed with another disk.
# lab-config: volume "data" { backing "/var/lib/data.img" node="beta"; backing "/var/lib/data.img" node="alpha" metadata="/var/lib/hotspare-replicate/data.metadata"; frontend "socket"; }; unit "writer.service"; hold-down "2s"
import json

from volumes import WRITER, acknowledged, nothing_is_lost, wait_equal, wait_writes

IMAGE, METADATA = "/var/lib/data.img", "/var/lib/hotspare-replicate/data.metadata"


def size(node) -> int:
    return json.loads(node.succeed("hotspare-replicate status data --json"))["bytes"]


def leads(node, number: int) -> None:
    node.wait_for_unit("cluster-up.service", timeout=60)
    nothing_is_lost(node, number)
    wait_writes(node)


for node in (alpha, beta):
    node.start()
    node.copy_text("/etc/systemd/system/writer.service", WRITER)
    node.succeed("systemctl daemon-reload; systemctl stop hotspare-replicate@data")

with subtest("a copy is made, and not a byte of the disk is another one"):
    alpha.succeed(f"truncate -s 63M {IMAGE}; head -c 1M /dev/urandom >> {IMAGE}")  # up to its last byte
    before = alpha.succeed(f"sha256sum < {IMAGE}")
    alpha.succeed("hotspare-replicate create data --first")
    t.assertEqual(alpha.succeed(f"sha256sum < {IMAGE}"), before)
    alpha.succeed(f"head -n 4 {METADATA} | grep -a 'length 67108864'")
    beta.succeed(f"truncate -s 80M {IMAGE}; hotspare-replicate create data")
    for node in (alpha, beta):
        node.succeed("systemctl reset-failed; systemctl start hotspare-replicate@data")
    start_all()
    alpha.wait_for_unit("cluster-up.service")
    wait_equal(alpha, beta)
    t.assertEqual((size(alpha), size(beta)), (64 << 20, 64 << 20))
    wait_writes(alpha)

with subtest("its daemon is killed, and the role handed over and back"):
    alpha.succeed("systemctl kill -s KILL hotspare-replicate@data")
    wait_writes(alpha)
    wait_equal(alpha, beta)
    alpha.succeed("hotspare switchover")
    leads(beta, acknowledged(alpha))
    wait_equal(beta, alpha)
    beta.succeed("hotspare switchover")
    leads(alpha, acknowledged(beta))
    wait_equal(alpha, beta)

with subtest("it loses its power, and gets what differs and not everything"):
    alpha.wait_until_succeeds("hotspare-replicate status data --json | jq -e '.after_a_crash < 20000000'", timeout=60)
    before = wait_writes(alpha)
    alpha.crash()
    beta.wait_for_unit("cluster-up.service", timeout=60)
    alpha.start()
    nothing_is_lost(beta, max(before, acknowledged(alpha)))
    wait_equal(beta, alpha)
    said = beta.succeed("journalctl -o cat -u hotspare-replicate@data | grep 'to alpha' | tail -n 1")
    assert int(said.split(" blocks")[0].split()[-1]) <= 20_000_000 // 65536, said
    beta.succeed("hotspare-replicate verify data")

with subtest("it becomes larger"):
    for node, more in ((alpha, "8M"), (beta, "16M")):
        node.succeed(f"systemctl stop hotspare-replicate@data; truncate -s +{more} {IMAGE}; systemctl start hotspare-replicate@data")
    wait_equal(beta, alpha)
    beta.wait_until_succeeds("hotspare-replicate resize data")
    alpha.wait_until_succeeds(f"hotspare-replicate status data --json | jq -e '.bytes == {72 << 20}'")
    alpha.succeed(f"head -n 4 {METADATA} | grep -a 'length {72 << 20}'; test ! -e {METADATA}.new")
    wait_writes(beta)
    beta.succeed("hotspare-replicate verify data")

with subtest("another disk is in its place: the file is not believed, and the copy is made anew"):
    alpha.succeed(f"systemctl stop hotspare-replicate@data; cp {IMAGE} {IMAGE}.new; mv {IMAGE}.new {IMAGE}")
    alpha.execute("systemctl start hotspare-replicate@data")
    alpha.wait_until_succeeds("journalctl -o cat -u hotspare-replicate@data | grep 'was the disk replaced'")
    assert "--again makes a new one" in alpha.fail("hotspare-replicate create data 2>&1")
    alpha.succeed("hotspare-replicate create data --again; systemctl reset-failed hotspare-replicate@data; systemctl start hotspare-replicate@data")
    wait_equal(beta, alpha)
    beta.succeed("hotspare switchover")
    leads(alpha, acknowledged(beta))

with subtest("metadata that was at the end of the disk is not there when the file is taken away"):
    assert alpha.succeed("ls /var/lib/hotspare-replicate").split() == ["data.metadata"]
    alpha.succeed("systemctl stop cluster-primary.target")
    beta.wait_for_unit("cluster-up.service", timeout=60)
    text = alpha.succeed("cat /etc/hotspare/cluster.kdl")
    alpha.succeed(f"systemctl stop hotspare-replicate@data; sed -i 's# metadata=\"{METADATA}\"##' /etc/hotspare/cluster.kdl")
    assert "there is no volume on it" in alpha.fail("hotspare-replicate run data 2>&1")
    alpha.succeed("truncate -s 80M /var/lib/data.img; hotspare-replicate create data --again")
    alpha.copy_text("/etc/hotspare/cluster.kdl", text)
    assert "is another one" in alpha.fail("hotspare-replicate run data 2>&1")
