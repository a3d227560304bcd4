# A power switch, asked over the network by a fence agent and by a program: a node that is switched off is proven to be off, its role moves, and it is
# switched on again; a switch that lies proves nothing, and of one that does not answer the next level takes the place.
from power import ADDRESS, PORT, Power

FILE = "/etc/hotspare/cluster.kdl"
with Power(alpha, beta) as power:
    power.install()
    start_all()
    alpha.wait_for_unit("cluster-up.service")
    text = power.configure(alpha.succeed(f"cat {FILE}"))
    for node in (alpha, beta):
        node.copy_text(FILE, text)
        node.succeed("hotspare check")

    with subtest("everything but the trigger is tried: a secret that is missing, a device that answers"):
        assert 'there is no credential "switch"' in beta.fail("hotspare-fence test 2>&1")
        for node in (alpha, beta):
            power.trust(node)
        t.assertEqual(beta.succeed("hotspare-fence test | grep -c '^ok .*: on$'").strip(), "2")
        assert "another node" in alpha.fail("hotspare-fence off alpha 2>&1")
        assert "open sesame" not in beta.succeed("hotspare-fence list")

    with subtest("a switch that lies proves nothing"):
        power.lies = True
        said = beta.fail("hotspare-fence off alpha 2>&1")
        assert "alpha is not proven to be off" in said and "says that there is power still" in said, said
        alpha.require_unit_state("cluster-up.service")
        power.lies = False

    with subtest("the primary is switched off, proven, and the other node leads"):
        said = beta.succeed("hotspare-fence off alpha")
        assert "alpha is off, proven by power-off (level 1" in said, said
        beta.wait_for_unit("cluster-up.service")
        assert "  off" in beta.succeed("hotspare-fence status alpha")
        beta.succeed("journalctl -o cat | grep 'alpha is off, proven by power-off'")

    with subtest("and on again"):
        beta.succeed("hotspare-fence on alpha")
        beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'", timeout=60)

    with subtest("one device does not answer: the next level does it; then a reboot"):
        broken = text.replace(f'"{ADDRESS}:{PORT}"; option "plug" "alpha"', '"192.0.2.251:80"; option "plug" "alpha"')
        broken = broken.replace('link "198.51.100.1";', 'link "198.51.100.1"; fence "run" "/usr/local/sbin/outlet" "alpha" level=2;', 1)
        beta.copy_text(FILE, broken)
        assert "does not answer" in beta.fail("hotspare-fence test alpha 2>&1")
        boot = alpha.succeed("cat /proc/sys/kernel/random/boot_id; systemctl show -p UserspaceTimestampMonotonic")
        assert "proven by power-off (level 2" in beta.succeed("hotspare-fence off alpha")
        beta.execute("hotspare-fence on alpha")  # the first device still does not answer, the second one has power on
        alpha.wait_until_succeeds("systemctl is-active hotspare-leased.service", timeout=60)
        assert alpha.succeed("cat /proc/sys/kernel/random/boot_id; systemctl show -p UserspaceTimestampMonotonic") != boot
