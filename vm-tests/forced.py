# Two of three nodes are gone for good: an operator goes on without them, by name and with a reason. What that costs, and how
# they come back, made anew, one at a time.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
REASON = "--reason 'room 2 has burned down, seen by myself'"


def refused(node, command, status, message):
    found, text = node.execute(f"{command} 2>&1")
    t.assertEqual(found, status, text)
    assert message in text, text


with subtest("nothing is forced that goes on by itself, and nobody is lost without a reason"):
    refused(alpha, f"hotspare force --lost beta --lost witness {REASON}", 1, "there is nothing to force")
    refused(alpha, "hotspare force --lost beta", 64, "--reason")
    refused(alpha, "hotspare force --lost beta --reason gone", 64, "says too little")
    refused(alpha, f"hotspare force --lost alpha {REASON}", 64, "this node")
    refused(alpha, f"hotspare force --lost gamma {REASON}", 64, "does not vote")
    refused(alpha, f"runuser -u nobody -- hotspare force --lost beta {REASON}", 77, "only root")
    refused(alpha, "hotspare force --back beta", 64, "is not lost")

with subtest("two of three are gone: the survivor lets go, and nothing moves by itself"):
    beta.crash()
    witness.crash()
    alpha.wait_for_unit("cluster-standby.target")
    alpha.wait_until_succeeds("hotspare status | grep 'no quorum: 1 of 3 voters answer'")
    alpha.wait_until_succeeds("! hotspare status | grep '(quorum)'")

with subtest("by an operator's word it goes on, in an epoch above all that the others may have seen"):
    said = alpha.succeed(f"hotspare force --lost beta --lost witness {REASON}")
    assert "must never run again with their old disks" in said
    alpha.wait_for_unit("cluster-primary.target")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "alpha")
    alpha.succeed("hotspare status | grep 'epoch 42949672'")
    # Not by the vote of an arbiter that has not heard of it yet, and would not wait for leases that the lost have granted.
    told = alpha.succeed("journalctl -o cat --no-pager -u hotspare-arbiter").splitlines()
    t.assertIn("voting in lab", told[told.index("default: recorded alpha as holder in epoch 1") :])
    t.assertEqual(told[-1], "default: recorded alpha as holder in epoch 4294967297")
    record = alpha.succeed("journalctl -o verbose --no-pager MESSAGE_ID=5b6e17db2f554db69c5f1c61da3025f9")
    for field in ("HOTSPARE_UID=0", "HOTSPARE_REASON=room 2 has burned down, seen by myself", "HOTSPARE_LOST=beta witness"):
        assert field in record, record

with subtest("a lost node that has the file takes no part"):
    text = alpha.succeed("base64 -w0 /etc/hotspare/cluster.kdl")
    beta.start()
    beta.succeed(f"echo {text} | base64 -d > /etc/hotspare/cluster.kdl")
    beta.execute("systemctl restart hotspare-leased hotspare-arbiter")
    beta.wait_until_succeeds("journalctl -o cat --no-pager -u hotspare-leased | grep 'was declared lost for good'")
    beta.wait_until_succeeds("journalctl -o cat --no-pager -u hotspare-arbiter | grep 'was declared lost for good'")


def spread(source):
    text = source.succeed("base64 -w0 /etc/hotspare/cluster.kdl")
    for other in (alpha, beta, witness):
        if other.booted and other is not source:
            other.succeed(f"echo {text} | base64 -d > /etc/hotspare/cluster.kdl; hotspare check")


def come_back(node):
    alpha.succeed(f"hotspare force --back {node.name}")
    spread(alpha)
    for other in (beta, witness):
        if other.booted and other is not node:
            other.succeed("hotspare apply")
    # Its register is still the old one: it is not believed.
    node.succeed("systemctl reset-failed; systemctl daemon-reload; systemctl restart hotspare-arbiter hotspare-heartbeat")
    if node is not witness:
        node.succeed("systemctl restart hotspare-leased")
    refused(node, "hotspare force --vote", 75, "has not learned enough")
    node.wait_until_succeeds("hotspare force --vote", timeout=100)
    spread(node)
    for other in (alpha, beta, witness):
        if other.booted and other is not node:
            other.succeed("hotspare apply")


with subtest("made anew they come back, one at a time; nothing moves"):
    pid = alpha.get_unit_property("nginx.service", "MainPID")
    come_back(beta)
    beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
    alpha.wait_until_succeeds("hotspare status | grep 'votes       alpha, beta ('")
    t.assertEqual(alpha.get_unit_property("nginx.service", "MainPID"), pid)
    refused(alpha, "hotspare force --back beta", 64, "is not lost")
    witness.start()
    come_back(witness)
    alpha.wait_until_succeeds("hotspare status | grep 'votes       alpha, beta, witness (quorum)'")
    t.assertEqual(alpha.get_unit_property("nginx.service", "MainPID"), pid)

with subtest("and the cluster is what it was"):
    alpha.crash()
    beta.wait_for_unit("cluster-primary.target")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "beta")
