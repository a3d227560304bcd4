# A volume becomes larger while it is used: the backings first, then each copy finds its metadata again and moves it to the new end, then
# one command. It takes all copies, over zeros, and whoever leads next has the new size.
# lab-config: volume "data" { backing "/var/lib/data.img"; frontend "socket"; }; unit "writer.service"
import json

from volumes import SOCKET, make_copies, nothing_is_lost, wait_equal, wait_writes

RESTART = "systemctl restart hotspare-replicate@data; systemctl is-active hotspare-replicate@data"
MIB = 1 << 20


def status(node) -> dict:
    return json.loads(node.succeed("hotspare-replicate status data --json"))


def refused(node, why: str) -> None:
    said = node.fail("hotspare-replicate resize data 2>&1")
    assert why in said, said


make_copies(alpha, beta)
start_all()
alpha.wait_for_unit("cluster-up.service")
wait_equal(alpha, beta)
pid = alpha.get_unit_property("writer.service", "MainPID")
size = status(alpha)["bytes"]

with subtest("nothing has become larger: that is said, and where it is asked on the standby as well"):
    refused(alpha, "has no room for more: make its backing larger")
    refused(beta, "this copy is not the one that is written to")

with subtest("one backing is larger: its metadata is found again and moves, and the other copy is named"):
    alpha.succeed(f"truncate -s 200M /var/lib/data.img; {RESTART}")
    alpha.wait_until_succeeds("hotspare-replicate status data | grep 'room for .* bytes: hotspare-replicate resize data'")
    wait_equal(alpha, beta)
    wait_writes(alpha)
    t.assertEqual(status(alpha)["bytes"], size)
    refused(alpha, "the copy on beta has no room for more")

with subtest("a backing is larger and its engine was down, and killed at once, and started again: it is the same copy"):
    beta.succeed("systemctl stop hotspare-replicate@data; truncate -s 150M /var/lib/data.img; systemctl start hotspare-replicate@data")
    beta.succeed("systemctl kill -s KILL hotspare-replicate@data")
    wait_equal(alpha, beta)
    t.assertEqual(status(beta)["bytes"], size)
    assert status(beta)["room"] > 140 * MIB
    assert "already" in beta.fail("systemctl stop hotspare-replicate@data; hotspare-replicate create data 2>&1")
    beta.succeed("systemctl start hotspare-replicate@data")
    wait_equal(alpha, beta)

with subtest("it grows under load, as far as all have room; nobody is interrupted"):
    said = alpha.succeed("hotspare-replicate resize data")
    new = status(beta)["room"]
    assert f"{new} bytes from now on, on all copies" in said, said
    t.assertEqual([status(node)["bytes"] for node in (alpha, beta)], [new, new])
    wait_writes(alpha)
    t.assertEqual(alpha.get_unit_property("writer.service", "MainPID"), pid)
    refused(alpha, "the copy on beta has no room for more")
    alpha.wait_until_succeeds(f"journalctl -o cat -u hotspare-volume@data | grep '{new} bytes are shown'")
    alpha.succeed(f"lab-volume size {SOCKET} | grep -x {new}")
    alpha.succeed("hotspare-replicate verify data")

with subtest("the primary loses its power: the other leads, with everything and the new size"):
    before = wait_writes(alpha)
    alpha.crash()
    beta.wait_for_unit("cluster-up.service", timeout=60)
    nothing_is_lost(beta, before)
    t.assertEqual(status(beta)["bytes"], new)
    beta.succeed(f"lab-volume size {SOCKET} | grep -x {new}")
    alpha.start()
    wait_equal(beta, alpha)
    t.assertEqual(status(alpha)["bytes"], new)

with subtest("a copy that is not there stops it, and a backing that has become smaller is refused with how large it was"):
    beta.succeed("truncate -s 250M /var/lib/data.img")
    beta.succeed(RESTART)
    wait_equal(beta, alpha)
    alpha.succeed("systemctl stop hotspare-replicate@data")
    beta.wait_until_succeeds("hotspare-replicate status data --json | jq -e '.copies[0].connected | not'")
    refused(beta, "the copy on alpha is not there or not equal")
    alpha.succeed("cp --sparse=always /var/lib/data.img /var/lib/kept.img; truncate -s 100M /var/lib/data.img")
    alpha.execute("systemctl start hotspare-replicate@data")
    alpha.wait_until_succeeds(f"journalctl -o cat -u hotspare-replicate@data | grep 'had {200 * MIB} bytes and has {100 * MIB} now'")
    alpha.succeed("mv /var/lib/kept.img /var/lib/data.img; systemctl reset-failed; systemctl start hotspare-replicate@data")
    wait_equal(beta, alpha)
    beta.wait_until_succeeds("hotspare-replicate resize data")
    assert status(alpha)["bytes"] > 190 * MIB
    wait_writes(beta)
