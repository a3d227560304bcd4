# nixos-rebuild switch on a standby and on the primary: no role moves; what would cost the role is refused before anything is touched.
SWITCH = "/run/booted-system/specialisation/{}/bin/switch-to-configuration test"

start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
gate = alpha.get_unit_property("cluster-lease.service", "MainPID")

with subtest("refused: the new configuration would take the role from its leader"):
    said = alpha.fail(SWITCH.format("without-alpha") + " 2>&1")
    assert "Move it first" in said, said
    alpha.require_unit_state("cluster-primary.target")
    t.assertEqual(alpha.get_unit_property("cluster-lease.service", "MainPID"), gate)

with subtest("switched, the standby first: nothing moves, the new file is in force, the service has its new configuration"):
    for machine in (beta, alpha):
        machine.succeed(SWITCH.format("changed"))
        machine.wait_until_succeeds("hotspare status --json | grep '\"name\": \"tasks\"'")
    t.assertEqual(alpha.get_unit_property("cluster-lease.service", "MainPID"), gate)
    alpha.require_unit_state("cluster-primary.target")
    beta.require_unit_state("cluster-standby.target")
    beta.fail("systemctl is-active nginx.service")
    client.wait_until_succeeds("curl -sf -o /dev/null -w '%{http_code}' http://vip/new | grep -x 204")

with subtest("with the flag it goes on all the same, and the role moves"):
    alpha.execute("NIXOS_NO_CHECK=1 " + SWITCH.format("without-alpha"))
    alpha.execute("systemctl start cluster-standby.target")
    beta.wait_for_unit("cluster-primary.target")
