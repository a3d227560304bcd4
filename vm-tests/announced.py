# A hand-over is announced: the successor's gate waits while the services of the holder still stop. What is announced is not
# promised: whatever happens on the way, the lease goes by the proof or by its end, and nothing acts before it comes.
import json

SLOW = "[Service]\nExecStop=/bin/sh -c 'read _ < /run/let-go'\nTimeoutStopSec=60\n"

for node in (alpha, beta):
    node.start()
    node.succeed(f"mkdir -p /run/systemd/system/nginx.service.d; printf \"{SLOW}\" > /run/systemd/system/nginx.service.d/slow.conf")
    node.succeed("mkfifo /run/let-go; systemctl daemon-reload")
start_all()


def leads(node, other):
    node.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")
    other.wait_until_succeeds("hotspare status --json | grep '\"role\": \"standby\"'")
    node.wait_until_succeeds(f"hotspare status | grep '{other.name} (ready)'")


def announced(one, other):
    """`one` stops, and takes its time; the gate of `other` waits."""
    one.succeed("systemd-run -q hotspare switchover")
    other.wait_until_succeeds("systemctl show -P ActiveState cluster-lease.service | grep -x activating")
    other.wait_until_succeeds("hotspare status | grep 'is about to take over'")


leads(alpha, beta)
client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")

with subtest("the gate waits, and nothing else has started"):
    announced(alpha, beta)
    t.assertEqual(alpha.succeed("systemctl show -P ActiveState nginx").strip(), "deactivating")
    beta.fail("systemctl is-active nginx cluster-address-1.service cluster-up.service")
    beta.fail("ip -br address show dev eth1 | grep 192.0.2.100")
    beta.fail("test -e /run/hotspare-gate/default.open")
    assert "\"holder\": \"alpha\"" in beta.succeed("hotspare status --json"), "it leads until the proof is there"

with subtest("the other has stopped: the gate opens"):
    alpha.succeed("echo > /run/let-go")
    leads(beta, alpha)
    told = beta.succeed("journalctl -o cat --no-pager _SYSTEMD_UNIT=hotspare-leased.service _SYSTEMD_UNIT=init.scope")
    assert told.index("Starting cluster-lease.service") < told.index("holds the lease, epoch"), told[-2000:]

with subtest("the gate that waits is killed: standby again, and then the lease comes as ever"):
    announced(beta, alpha)
    alpha.succeed("systemctl kill -s KILL --kill-whom=main cluster-lease.service")
    alpha.wait_for_unit("cluster-standby.target")
    beta.succeed("echo > /run/let-go")
    leads(alpha, beta)

with subtest("the holder loses its power on the way: its lease ends by itself"):
    announced(alpha, beta)
    alpha.crash()
    beta.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")
    alpha.start()
    leads(beta, alpha)

with subtest("never two at a time"):
    client.succeed("systemctl stop watcher")
    t.assertEqual(json.loads(client.succeed("cat /tmp/seen"))["turns"], ["alpha", "beta", "alpha", "beta"])
