# A volume: what was acknowledged is on whoever leads next, whether the role is handed over, the primary loses its power or is cut
# off; a copy that was away gets what it missed, counts again by itself, and does not lead before.
# lab-config: volume "data" { backing "/var/lib/data.img"; frontend "socket"; }; unit "writer.service"
import json
import re

from volumes import SOCKET, WRITER, acknowledged, nothing_is_lost, wait_equal, wait_writes


def status(node) -> dict:
    return json.loads(node.succeed("hotspare-replicate status data --json"))


for node in (alpha, beta):
    node.start()
    node.succeed(f"printf '%s' '{WRITER}' > /etc/systemd/system/writer.service; systemctl daemon-reload")
    node.succeed("truncate -s 64M /var/lib/data.img")

with subtest("a copy is made on each node, and none is made twice"):
    beta.fail("systemctl is-active hotspare-replicate@data")
    alpha.succeed("hotspare-replicate create data --first")
    beta.succeed("hotspare-replicate create data")
    said = alpha.fail("hotspare-replicate create data 2>&1")
    assert "already" in said or "is in use" in said, said  # its daemon may have been started meanwhile
    for node in (alpha, beta):
        node.succeed("systemctl reset-failed; systemctl start hotspare-replicate@data")
start_all()

with subtest("the node that has the data leads, and the other becomes equal"):
    alpha.wait_for_unit("cluster-primary.target")
    wait_equal(alpha, beta)
    wait_writes(alpha)
    beta.fail(f"lab-volume read {SOCKET}")  # nothing is served there
    alpha.succeed(f"lab-volume read {SOCKET}")

with subtest("the role is handed over: everything is there"):
    alpha.succeed("hotspare switchover")
    beta.wait_for_unit("cluster-up.service")
    nothing_is_lost(beta, acknowledged(alpha))
    wait_equal(beta, alpha)
    wait_writes(beta)

with subtest("the standby's daemon is killed under load: the user sees a pause, and nobody is asked"):
    alpha.succeed("systemctl kill -s KILL hotspare-replicate@data")
    beta.wait_until_succeeds("journalctl -o cat -u hotspare-replicate@data | grep 'goes on after'")
    wait_equal(beta, alpha)
    wait_writes(beta)
    beta.require_unit_state("writer.service")
    beta.fail("journalctl -o cat -u hotspare-replicate@data | grep 'does not count any more'")

with subtest("the bus says how the copies are, by the interface that is committed"):
    place = "org.hotspare.Replicate1.data /org/hotspare/Replicate1/volume/data"
    said = f"busctl get-property {place} org.hotspare.Replicate1"
    beta.wait_until_succeeds(f"{said} Role Whole Copies | tr '\\n' ' ' | grep 's \"primary\" b true a(sbbtt) 1 \"alpha\" true true '")
    alpha.wait_until_succeeds(f"{said} Role | grep replica")
    members = lambda xml: sorted(re.findall(r'<(?:property|method|signal) name="[^o][^>]*type="[^"]*"', xml))  # noqa: E731
    told = beta.succeed(f"busctl introspect --xml-interface {place} | sed -n '/name=\"org.hotspare.Replicate1\"/,/<.interface>/p'")
    t.assertEqual(members(told), members(beta.succeed("cat /usr/share/dbus-1/interfaces/org.hotspare.Replicate1.xml")), told)
    beta.fail(f"setpriv --reuid=65534 --regid=65534 --clear-groups busctl set-property {place} org.hotspare.Replicate1 Epoch t 1")

with subtest("what nobody writes to is not copied again after a crash"):
    for node in (alpha, beta):
        node.wait_until_succeeds("hotspare-replicate status data --json | jq -e '.after_a_crash < 20000000'", timeout=60)

with subtest("the primary loses its power: everything that it acknowledged is there"):
    before = wait_writes(beta)
    beta.crash()
    alpha.wait_for_unit("cluster-up.service")
    beta.start()
    nothing_is_lost(alpha, max(before, acknowledged(beta)))
    wait_writes(alpha)

with subtest("it comes back, gets what differs and not everything, and counts again"):
    wait_equal(alpha, beta)
    said = alpha.succeed("journalctl -o cat -u hotspare-replicate@data | grep 'to beta' | tail -n 1")
    blocks = int(said.split(" blocks")[0].split()[-1])
    assert blocks <= 20_000_000 // 65536, said
    wait_writes(alpha)

with subtest("the standby is gone: the primary goes on alone, and then nobody else can lead"):
    beta.crash()
    alpha.wait_until_succeeds("journalctl -o cat -u hotspare-replicate@data | grep 'the copy on beta does not count any more'")
    wait_writes(alpha)
    alpha.crash()
    beta.start()
    beta.wait_for_unit("hotspare-replicate@data.service")
    beta.wait_until_succeeds("hotspare status --json | jq -e '.groups[0].quorum'")
    beta.wait_until_succeeds("hotspare status | grep 'nobody leads; cannot lead: its copy of the data does not count'")
    beta.fail("systemctl is-active cluster-lease.service cluster-primary.target")
    alpha.start()
    alpha.wait_for_unit("cluster-up.service", timeout=60)
    beta.fail("journalctl -b -o cat -u hotspare-leased | grep 'default: holds the lease'")  # not for a moment
    nothing_is_lost(alpha, acknowledged(alpha, ".before"))
    wait_equal(alpha, beta)

with subtest("a copy whose daemon stands still is hung up on, and made equal when it goes on"):
    beta.succeed("systemctl kill -s STOP hotspare-replicate@data")
    alpha.wait_until_succeeds("journalctl -o cat -u hotspare-replicate@data | grep 'the copy on beta does not answer'")
    wait_writes(alpha)
    beta.succeed("systemctl kill -s CONT hotspare-replicate@data")
    wait_equal(alpha, beta)

with subtest("all copies are compared under load: what was changed past hotspare is found, named, and copied again"):
    log.info(alpha.succeed("hotspare-replicate verify data").strip())
    assert "is not the one that is written to" in beta.fail("hotspare-replicate verify data 2>&1")
    beta.succeed("dd if=/dev/urandom of=/var/lib/data.img bs=64K seek=700 count=1 conv=notrunc status=none")
    assert "1 of 1024 blocks" in alpha.fail("hotspare-replicate verify data 2>&1")
    alpha.succeed(f"journalctl -o cat -u hotspare-replicate@data | grep '65536 bytes at {700 * 65536} are not the same on beta'")
    wait_equal(alpha, beta)
    alpha.succeed("hotspare-replicate verify data")
    wait_writes(alpha)

with subtest("the primary is cut off: its user gets an error, nothing is acknowledged there, and nothing is lost"):
    wait_writes(alpha)
    alpha.block()
    beta.wait_for_unit("cluster-up.service", timeout=60)
    alpha.fail("systemctl is-active writer.service")
    nothing_is_lost(beta, acknowledged(alpha))
    alpha.unblock()
    wait_equal(beta, alpha)
    t.assertEqual(status(alpha)["role"], "replica")

with subtest("a copy that was made anew where another one counted is not taken for it"):
    alpha.succeed("systemctl stop hotspare-replicate@data")
    beta.crash()
    alpha.succeed("hotspare-replicate create data --first --again; systemctl start hotspare-replicate@data")
    alpha.wait_until_succeeds("journalctl -o cat -u hotspare-replicate@data | grep 'is not promoted'", timeout=60)
    beta.start()
    beta.wait_for_unit("cluster-up.service", timeout=60)
    nothing_is_lost(beta, acknowledged(beta, ".before"))
    beta.wait_until_succeeds("journalctl -o cat -u hotspare-replicate@data | grep 'the copy on alpha takes nothing from here'")
    alpha.succeed("systemctl stop hotspare-replicate@data; hotspare-replicate create data --again; systemctl start hotspare-replicate@data")
    wait_equal(beta, alpha, ready=False)  # it gave up, and abstains for a while,
    alpha.wait_until_succeeds("hotspare switchover")  # unless somebody asks
    alpha.wait_for_unit("cluster-up.service")
    wait_equal(alpha, beta)

with subtest("the primary's own daemon is killed, replaced, and hangs: its user sees a pause, and nothing moves"):
    pid = alpha.get_unit_property("writer.service", "MainPID")
    # One that stands still is ended by its watchdog.
    for how in ("kill -s KILL", "restart", "kill -s STOP"):
        how = f"systemctl {how} hotspare-replicate@data"
        wait_writes(alpha)
        alpha.succeed(how)
        wait_writes(alpha)
    t.assertEqual(alpha.get_unit_property("writer.service", "MainPID"), pid)
    t.assertEqual(alpha.get_unit_property("cluster-up.service", "ActiveState"), "active")
    wait_equal(alpha, beta)

with subtest("its daemon hangs and nothing can end it, as when a thread of it waits for a disk: the role moves"):
    drop_in = "/run/systemd/system/hotspare-replicate@data.service.d"
    alpha.succeed(f"mkdir -p {drop_in}; printf '[Service]\\nWatchdogSec=0\\n' > {drop_in}/endless.conf; systemctl daemon-reload")
    alpha.succeed("systemctl restart hotspare-replicate@data")
    wait_equal(alpha, beta)
    wait_writes(alpha)
    alpha.succeed("systemctl kill -s STOP hotspare-replicate@data")
    beta.wait_for_unit("cluster-up.service")
    nothing_is_lost(beta, acknowledged(alpha))
    alpha.succeed("journalctl -o cat -u hotspare-volume@data | grep 'says nothing any more'")
    alpha.succeed(f"rm -r {drop_in}; systemctl daemon-reload; systemctl kill -s CONT hotspare-replicate@data; systemctl restart hotspare-replicate@data")
    wait_equal(beta, alpha, ready=False)
    knows = '.groups[] | select(.name == "default") | .role == "standby" and (.copies | index("alpha")) != null'
    alpha.wait_until_succeeds(f"hotspare status --json | jq -e '{knows}'")
    said = alpha.execute("hotspare switchover 2>&1")  # an operator's wish ends its abstention
    t.assertEqual(said[0], 0, said)
    alpha.wait_for_unit("cluster-up.service")
    wait_equal(alpha, beta)

with subtest("what holds the volume is killed: its user loses it, and the other node goes on with everything"):
    wait_writes(alpha)
    alpha.succeed("systemctl kill -s KILL hotspare-volume@data")
    beta.wait_for_unit("cluster-up.service", timeout=60)
    nothing_is_lost(beta, acknowledged(alpha))
    alpha.fail("systemctl is-active writer.service hotspare-volume@data.service")
    wait_equal(beta, alpha, ready=False)
