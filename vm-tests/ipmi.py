# Machines with a BMC, as servers have it, behind the agent that everybody uses: the holder hangs and is switched off and on by IPMI; with a wrong
# password, and where the BMC has died with its machine, nothing is proven and the lease is waited for.
# lab-config: outage-budget "22s"
from bmc import SECRET, fence_line, plug_in
from power import Power, hangs_and_is_shot, hangs_without_proof

FILE = "etc/hotspare/cluster.kdl"
with Power(alpha, beta):
    text = (alpha.root / FILE).read_text()
    for number, name in enumerate(("alpha", "beta")):
        link = f'link "198.51.100.{number + 1}";'
        text = text.replace(link, f"{link} {fence_line(name, number)};", 1)
    for node in (alpha, beta, witness):
        (node.root / FILE).write_text(text)
    start_all()
    plug_in(client, "alpha", "beta")
    for node in (alpha, beta):
        node.succeed(f"mkdir -p /etc/credstore; umask 077; echo '{SECRET}' > /etc/credstore/bmc")
    alpha.wait_for_unit("cluster-up.service", timeout=60)
    beta.wait_until_succeeds("hotspare status | grep 'beta (ready)'", timeout=60)

    with subtest("everything but the trigger is tried, by the agent's own description"):
        beta.wait_until_succeeds("hotspare-fence status", timeout=60)
        t.assertEqual(beta.succeed("hotspare-fence test | grep -c '^ok .*: on$'").strip(), "2")
        beta.succeed(f"sed 's/option \"lanplus\"/option \"lamplus\"/' /{FILE} > /root/wrong.kdl")
        assert "lamplus" in beta.fail("hotspare-fence --config /root/wrong.kdl test alpha 2>&1")

    with subtest("with a wrong password nothing is switched off, and the lease is waited for"):
        beta.succeed("echo wrong > /etc/credstore/bmc")
        assert "beta" not in beta.fail("hotspare-fence test 2>&1 | grep '^ok'")
        hangs_without_proof(alpha, beta)
        beta.succeed(f"echo '{SECRET}' > /etc/credstore/bmc")
        beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'", timeout=60)

    with subtest("the holder hangs: its BMC switches it off and on, and nobody waits for its lease"):
        hangs_and_is_shot(beta, alpha)

    with subtest("a BMC dies with its machine: nothing is proven, and the lease is waited for"):
        client.succeed("systemctl kill -s KILL bmc-alpha")
        alpha.crash()
        beta.wait_until_succeeds("journalctl -o cat | grep 'alpha is not proven to be off'", timeout=90)
        beta.wait_for_unit("cluster-up.service", timeout=90)
        beta.succeed("hotspare-fence confirm alpha --reason 'its power supply is on my desk'")
