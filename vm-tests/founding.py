# The first start of a cluster needs all its voters once: nobody leads before, and `doctor` says who is waited for. From then on a
# majority is enough.
alpha.start()
beta.start()
client.start()

with subtest("two of three have never seen the third: nobody leads, and it is said why"):
    for node in (alpha, beta):
        node.wait_for_unit("cluster-standby.target")
        node.wait_until_succeeds("(hotspare doctor || true) | grep 'BAD   voter: this one does not vote on default yet: it waits for witness; a new cluster needs all its voters once'")
        node.fail("systemctl is-active cluster-lease.service")
    alpha.wait_until_succeeds("hotspare status | grep 'no quorum: 0 of 3 voters answer'")

with subtest("the third is there: the cluster is founded, at once"):
    witness.start()
    alpha.wait_for_unit("cluster-primary.target")
    for node in (alpha, beta, witness):
        node.wait_until_succeeds("journalctl -o cat --no-pager MESSAGE_ID=67dadbe21ea342f7b5f63de289087d9e HOTSPARE_GROUP=default | grep 'default: joined as a voter'")

with subtest("and never again: all off, and two of three are enough"):
    for node in (alpha, beta, witness):
        node.crash()
    alpha.start()
    beta.start()
    alpha.wait_for_unit("cluster-primary.target")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "alpha")

with subtest("other voters (hotspare-arbiter(8)): refused while it runs; after a full stop the cluster is founded anew"):
    witness.start()
    alpha.wait_until_succeeds("hotspare status | grep 'votes       alpha, beta, witness (quorum)'")
    daemons = "hotspare-leased hotspare-arbiter hotspare-heartbeat"
    for node in (alpha, beta, witness):
        node.succeed("echo 'voters \"alpha\"' >> /etc/hotspare/cluster.kdl; hotspare check")
    status, text = alpha.execute("hotspare apply 2>&1")
    t.assertEqual(status, 1, text)
    assert "the voters would change from alpha, beta, witness to alpha" in text, text
    alpha.require_unit_state("cluster-primary.target")
    for node in (alpha, beta, witness):
        node.execute("systemctl stop cluster-primary.target cluster-standby.target")
        node.succeed(f"systemctl stop {daemons}; rm -rf /var/lib/hotspare-arbiter/lab; systemctl daemon-reload")
    for node in (alpha, beta):
        node.execute(f"systemctl start {daemons}")  # beta votes no more: its arbiter says so and ends
        node.succeed("systemctl start cluster-standby.target")
    alpha.wait_for_unit("cluster-primary.target")
    alpha.wait_until_succeeds("hotspare status | grep 'votes       alpha (quorum)'")
    alpha.succeed("hotspare status | grep 'leads       alpha (epoch 1,'")
