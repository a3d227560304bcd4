# Two nodes and no arbiter, each with a plug that the other one can switch: whoever is proven to be off counts as granted, and nothing else does (F3, F4).
# lab-config: outage-budget "16s"
import json

from power import Power

FILE = "etc/hotspare/cluster.kdl"
BETWEEN = "nft 'add table inet lab; add chain inet lab in { type filter hook input priority 0; }; add rule inet lab in ip saddr { 192.0.2.2, 198.51.100.2 } drop'"


def ready(node, other) -> None:
    other.wait_until_succeeds(f"hotspare status | grep 'stands by for {node.name}'", timeout=90)
    node.wait_until_succeeds(f"hotspare status | grep '{other.name} (ready)'", timeout=90)


def shot(node, other, times: int = 1) -> None:
    """`node` has had `other` switched off and on again, so often."""
    for said in (f"{other.name} is off, proven by power-off", f"{other.name} has power"):
        node.wait_until_succeeds(f"test $(journalctl -o cat | grep -c '^{said}') -ge {times}", timeout=60)


def leads(node) -> bool:
    return node.run("systemctl is-active cluster-lease.service", 20)[0] == 0


with Power(alpha, beta) as power:
    power.install()
    text = power.configure((alpha.root / FILE).read_text()).replace('group "default"', 'voters "alpha" "beta"\ngroup "default"')
    for node in (alpha, beta):
        (node.root / FILE).write_text(text)
        node.start()
        power.trust(node)
    client.start()
    alpha.wait_for_unit("cluster-up.service", timeout=60)
    ready(alpha, beta)
    assert "proven to be off" in alpha.succeed("hotspare check")
    assert "beta would lead once alpha is proven to be off" in alpha.succeed("hotspare status")
    client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")

    with subtest("the standby hangs: it is switched off and on, and nothing of the role restarts"):
        pid = alpha.get_unit_property("nginx.service", "MainPID")
        beta.freeze()
        shot(alpha, beta)
        ready(alpha, beta)
        t.assertEqual(beta.lives, 2, "once is enough")
        t.assertEqual(alpha.get_unit_property("nginx.service", "MainPID"), pid)
        assert "leads       alpha (epoch 1" in alpha.succeed("hotspare status")

    with subtest("they do not hear each other, and both can shoot: the one that leads does, and stays"):
        alpha.succeed(BETWEEN)
        shot(alpha, beta, times=2)
        t.assertEqual(alpha.get_unit_property("nginx.service", "MainPID"), pid)
        beta.wait_until_succeeds("systemctl is-active hotspare-arbiter.service", timeout=60)
        beta.wait_until_succeeds("journalctl -b -o cat -u hotspare-arbiter | grep 'votes when it has heard that one'", timeout=60)
        t.assertFalse(leads(beta))
        alpha.succeed("nft delete table inet lab")
        ready(alpha, beta)
        client.succeed("systemctl stop watcher")
        seen = json.loads(client.succeed("cat /tmp/seen"))
        t.assertEqual(seen["turns"], ["alpha"])
        assert "leads       alpha (epoch 1" in alpha.succeed("hotspare status")

    with subtest("the primary hangs: it is switched off, the other one leads, and it comes back as standby"):
        alpha.freeze()
        beta.wait_for_unit("cluster-up.service", timeout=60)
        shot(beta, alpha)
        ready(beta, alpha)

    with subtest("a plug that dies with its machine proves nothing: the other one waits for an operator's word"):
        power.dead.add("beta")
        beta.crash()
        alpha.wait_until_succeeds("journalctl -o cat | grep 'beta is not proven to be off'", timeout=60)
        assert "no quorum: 1 of 2" in alpha.wait_until_succeeds("hotspare status | grep 'no quorum'", timeout=60)
        alpha.wait_until_succeeds("test $(journalctl -o cat | grep -c '^beta is not proven to be off') -ge 2", timeout=60)
        t.assertFalse(leads(alpha))
        alpha.fail("hotspare-fence confirm beta --reason ''")
        alpha.succeed("hotspare-fence confirm beta --reason 'the power supply is on my desk'")
        alpha.wait_for_unit("cluster-up.service", timeout=60)
        alpha.succeed("journalctl -o cat | grep 'beta is off, says .*: the power supply is on my desk'")
        power.dead.clear()
        beta.start()
        ready(alpha, beta)

    with subtest("both were off: together they go on where they were, and one alone does not"):
        epoch = int(alpha.succeed("hotspare status --json | jq .groups[0].epoch"))
        alpha.crash()
        beta.crash()
        power.dead.update(("alpha", "beta"))
        alpha.start()
        alpha.wait_until_succeeds("(hotspare doctor || true) | grep 'waits for beta'", timeout=60)
        t.assertFalse(leads(alpha))
        beta.start()
        for node, other in ((alpha, beta), (beta, alpha)):
            node.wait_until_succeeds(f"hotspare status | grep -E 'primary: leads|stands by for {other.name}'", timeout=90)
        t.assertNotEqual(leads(alpha), leads(beta))
        assert int(alpha.succeed("hotspare status --json | jq .groups[0].epoch")) > epoch
