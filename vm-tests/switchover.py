# An operator moves the role: with systemctl start, with systemctl isolate, with `hotspare switchover`. The holder hands
# over in order: services stop, emptiness is proven, a ready successor is named. On a minority it is refused with a
# reason; with `hotspare switchover` the standby's services keep their PIDs then.
# lab-config: standby-unit "keeper.service"
import json

for node in (alpha, beta):
    node.start()
    node.succeed("mkdir -p /run/systemd/system; printf '[Service]\\nExecStart=sleep infinity\\n' > /run/systemd/system/keeper.service")
    node.succeed("systemctl daemon-reload")
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_for_unit("keeper.service")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")


def leads(node, other):
    node.wait_for_unit("cluster-primary.target")
    node.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")
    other.wait_for_unit("cluster-standby.target")
    other.wait_for_unit("keeper.service")
    other.fail("systemctl is-active nginx.service")
    node.wait_until_succeeds(f"hotspare status | grep '{other.name} (ready)'")


with subtest("systemctl start on the standby"):
    beta.succeed("systemctl start cluster-primary.target")
    leads(beta, alpha)

with subtest("systemctl isolate on the standby"):
    alpha.succeed("systemctl isolate cluster-primary.target")
    leads(alpha, beta)

with subtest("hotspare switchover on the standby"):
    beta.succeed("hotspare switchover")
    leads(beta, alpha)

with subtest("hotspare switchover on the primary, naming the other; whoever is in mid-sentence is told at once"):
    talk = "exec 3<>/dev/tcp/192.0.2.100/80; echo GET / HTTP/1.1 >&3; touch /run/talking; read -t 60 -u 3; echo $? > /run/ended"
    client.succeed(f"systemd-run -q --unit=talker bash -c '{talk}'")
    client.wait_for_file("/run/talking")
    beta.succeed("hotspare switchover --to alpha")
    leads(alpha, beta)
    client.wait_until_succeeds("grep -x 1 /run/ended")  # a reset; more than 128 would be the end of its patience
    beta.succeed("journalctl -o cat --no-pager -u cluster-address-1.service | grep -E 'released; [1-9][0-9]* connections ended'")

with subtest("giving it back: the standby target on the primary"):
    alpha.succeed("systemctl start cluster-standby.target")
    leads(beta, alpha)

with subtest("what the client saw: the nodes in turn, never two at a time"):
    client.succeed("systemctl stop watcher")
    seen = json.loads(client.succeed("cat /tmp/seen"))
    log.info(f"longest outage of five moves: {seen['outage_ms']:.0f} ms")
    t.assertEqual(seen["turns"], ["alpha", "beta", "alpha", "beta", "alpha", "beta"])

with subtest("nothing waited for an expiry: every tenure but the first was handed over"):
    told = beta.succeed("journalctl -o cat --no-pager _SYSTEMD_UNIT=hotspare-leased.service")
    told += alpha.succeed("journalctl -o cat --no-pager _SYSTEMD_UNIT=hotspare-leased.service")
    t.assertEqual(told.count("handed over to"), 5)

with subtest("on a minority: refused with a reason, and with switchover nothing is touched"):
    alpha.block()
    keeper = alpha.get_unit_property("keeper.service", "MainPID")
    alpha.wait_until_succeeds("hotspare status | grep 'NO QUORUM'")
    status, said = alpha.execute("hotspare switchover")
    t.assertEqual(status, 75)
    assert "no quorum: only 1 of 3 voters answer this node" in said, said
    t.assertEqual(alpha.get_unit_property("keeper.service", "MainPID"), keeper)
    alpha.require_unit_state("cluster-standby.target")

with subtest("and with systemctl: refused, and the node is standby again"):
    alpha.fail("systemctl start cluster-primary.target")
    alpha.wait_for_unit("cluster-standby.target")
    alpha.wait_for_unit("keeper.service")
    # `journalctl -u` shows this field as well: the gate may have ended before the journal could see whose word it was.
    said = alpha.succeed("journalctl -o cat --no-pager OBJECT_SYSTEMD_UNIT=cluster-lease.service")
    assert "the primary role was refused: no quorum" in said, said
    beta.require_unit_state("cluster-primary.target")
    alpha.unblock()
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
