# Every node is cut off from every other at the same moment: nobody leads, each says why, and when the network is back one does, once.
import json

start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status | grep 'beta (ready)'")
client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")

with subtest("the holder stops when its lease is over, and the other one does not lead"):
    for node in (alpha, beta, witness):
        node.block()
    alpha.wait_for_unit("cluster-standby.target")
    for node in (alpha, beta):
        node.wait_until_succeeds("hotspare status | grep 'no quorum: 1 of 3 voters answer'")
        node.fail("systemctl is-active nginx.service cluster-lease.service")
        node.fail("ip -o addr show to 192.0.2.100 | grep .")
    assert "killing everything of the role" in alpha.succeed("hotspare events")

with subtest("the network is back: one of them leads, in the next epoch"):
    for node in (alpha, beta, witness):
        node.unblock()
    client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who", timeout=60)
    leader = client.succeed("curl -sf --max-time 1 http://vip/who").strip()
    one, other = (alpha, beta) if leader == "alpha" else (beta, alpha)
    one.wait_until_succeeds(f"hotspare status | grep '{other.name} (ready)'")
    other.fail("systemctl is-active nginx.service")
    assert f"leads       {leader} (epoch 2" in other.succeed("hotspare status")

with subtest("what the client saw: one node at a time"):
    client.succeed("systemctl stop watcher")
    t.assertIn(json.loads(client.succeed("cat /tmp/seen"))["turns"], (["alpha"], ["alpha", "alpha"], ["alpha", "beta"]))
