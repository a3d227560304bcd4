# The cluster has a node switched off that holds the lease and is gone: proven to be off, nobody waits for the end of its lease. An operator's own
# shot does the same. Without a proof (the password is wrong) the lease is waited for, and the role moves all the same.
# lab-config: outage-budget "22s"
from power import Power, hangs_and_is_shot, hangs_without_proof

FILE = "etc/hotspare/cluster.kdl"
with Power(alpha, beta) as power:
    power.install()
    text = power.configure((alpha.root / FILE).read_text())
    for node in (alpha, beta, witness):
        (node.root / FILE).write_text(text)
    start_all()
    for node in (alpha, beta):
        power.trust(node)
    alpha.wait_for_unit("cluster-up.service", timeout=60)
    beta.wait_until_succeeds("hotspare status --json | jq -e '.groups[0].candidates[] | select(.name == \"beta\").ready'", timeout=60)

    with subtest("the devices are tried by a timer, and status says what was found"):
        for node in (alpha, beta):
            node.wait_until_succeeds("systemctl is-active hotspare-fence-test.timer")
            assert "not been tried" in node.succeed("hotspare status")
            node.succeed("systemctl start hotspare-fence-test.service")
        assert "fence  beta: can be switched off (tried" in alpha.succeed("hotspare status")
        beta.succeed("mv /etc/credstore/switch /root/switch")
        beta.fail("systemctl start hotspare-fence-test.service")
        said = beta.succeed("hotspare status")
        assert 'fence  alpha: its fence devices fail' in said and 'no credential "switch"' in said, said
        assert "no credential" in beta.execute("hotspare doctor")[1]

    with subtest("without a proof the lease is waited for"):
        hangs_without_proof(alpha, beta)
        beta.succeed("mv /root/switch /etc/credstore/switch")
        beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'", timeout=60)

    with subtest("an operator's shot ends the lease as well"):
        said = alpha.succeed("hotspare-fence off beta 2>&1")
        assert "a proof counts for default" in said, said
        alpha.wait_for_unit("cluster-up.service", timeout=60)
        alpha.succeed("journalctl -o cat | grep 'beta is proven to be off: its lease is over, .* early'")
        alpha.fail("journalctl -o cat | grep 'beta is to be switched off'")
        t.assertIsNone(beta.process, "it stays off until somebody switches it on")
        alpha.succeed("hotspare-fence on beta")
        alpha.wait_until_succeeds("hotspare status | grep 'beta (ready)'", timeout=60)

    with subtest("the holder hangs: it is switched off and on, and its lease is over early; it comes back as standby"):
        hangs_and_is_shot(alpha, beta)
