# A primary that does not reach its clients any more hands over to a standby that does; what nobody reaches moves nothing and keeps nobody from leading.
# lab-config: hold-down "1s"; uplink "ping" "192.0.2.250" interval="200ms" timeout="150ms"; uplink "tcp" "192.0.2.251:80" interval="200ms" timeout="150ms"
import json
import subprocess

ROUTER = ["ip", "addr", "replace", "192.0.2.250/24", "dev", "br1"]
DEAF = "nft 'add table inet lab; add chain inet lab in { type filter hook input priority 0; }; add rule inet lab in ip saddr 192.0.2.250 drop'"
CUT = "does not reach its clients"
subprocess.run(ROUTER, check=True)
start_all()
alpha.wait_for_unit("cluster-up.service")
beta.wait_until_succeeds("hotspare status | grep 'beta (ready)'")
for node in (alpha, beta):
    node.wait_until_succeeds("systemctl is-active cluster-uplink-1.service cluster-uplink-2.service")
    node.succeed("hotspare-probe --once ping 192.0.2.250")
    node.fail(f"hotspare status | grep '{CUT}'")  # one of the two answers: enough
client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")

with subtest("the primary does not reach the router, the standby does: handed over, for that reason"):
    alpha.succeed(DEAF)
    beta.wait_for_unit("cluster-up.service")
    assert "this node does not reach its clients any more, and beta does" in alpha.succeed("hotspare events")
    alpha.wait_until_succeeds(f"hotspare status | grep 'stands by for beta; it {CUT}'")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (not ready)'")

with subtest("it comes back: ready, and nothing moves"):
    alpha.succeed("nft delete table inet lab")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    client.succeed("systemctl stop watcher")
    t.assertEqual(json.loads(client.succeed("cat /tmp/seen"))["turns"], ["alpha", "beta"])

with subtest("the lease client is restarted: it is told again"):
    alpha.succeed(DEAF)
    beta.wait_until_succeeds("hotspare status | grep 'alpha (not ready)'")
    alpha.succeed("systemctl restart hotspare-leased")
    alpha.wait_until_succeeds(f"hotspare status | grep '{CUT}'")
    alpha.succeed("nft delete table inet lab")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")

with subtest("the router dies: nobody reaches it, and nothing moves"):
    subprocess.run(["ip", "addr", "del", "192.0.2.250/24", "dev", "br1"], check=True)
    beta.wait_until_succeeds("hotspare status | grep 'leads; it does not reach its clients'")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (not ready)'")
    epoch = beta.succeed("hotspare status --json | jq .groups[0].epoch")

with subtest("and who is left leads all the same"):
    t.assertEqual(beta.succeed("hotspare status --json | jq .groups[0].epoch"), epoch)
    beta.crash()
    alpha.wait_for_unit("cluster-up.service")

with subtest("one that reaches it again gets the role, once both have settled"):
    beta.start()
    beta.wait_for_unit("cluster-standby.target")
    alpha.succeed(DEAF)
    subprocess.run(ROUTER, check=True)
    beta.wait_for_unit("cluster-up.service")
