# What people and packages do to a unit of the role: stopped or restarted by hand it alone stops or restarts, and nothing
# moves. Stopping the target gives the role back, restarting it gives it back and takes it again.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")

with subtest("a unit is stopped and started by hand: nothing else happens"):
    gate = alpha.get_unit_property("cluster-lease.service", "MainPID")
    alpha.succeed("systemctl stop nginx.service")
    alpha.succeed("ip -o addr show eth1 | grep 192.0.2.100/24")
    alpha.succeed("systemctl start nginx.service")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "alpha")
    t.assertEqual(alpha.get_unit_property("cluster-lease.service", "MainPID"), gate)

with subtest("the target is stopped: the role is given back, and this node is off"):
    alpha.succeed("systemctl stop cluster-primary.target")
    beta.wait_for_unit("cluster-primary.target")
    alpha.wait_until_fails("systemctl is-active cluster-lease.service nginx.service cluster-standby.target")
    alpha.wait_until_succeeds("hotspare status | grep 'off: neither role is active here'")
    alpha.succeed("systemctl start cluster-standby.target")
    alpha.wait_until_succeeds("hotspare status --json | grep '\"role\": \"standby\"'")

with subtest("the primary target is restarted: given back and taken again"):
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    beta.execute("systemctl restart cluster-primary.target")
    client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who")

with subtest("a unit of the role is restarted, as a package does: it alone, and nothing moves"):
    leader = alpha if client.succeed("curl -sf http://vip/who").strip() == "alpha" else beta
    leader.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")
    gate = leader.get_unit_property("cluster-lease.service", "MainPID")
    claim = leader.get_unit_property("cluster-address-1.service", "MainPID")
    leader.succeed("systemctl restart nginx.service")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), leader.name)
    t.assertEqual(leader.get_unit_property("cluster-lease.service", "MainPID"), gate)
    t.assertEqual(leader.get_unit_property("cluster-address-1.service", "MainPID"), claim)

with subtest("vip-claim is killed: it comes back, and nothing else is touched"):
    leader.succeed("systemctl kill -s KILL cluster-address-1.service")
    leader.wait_until_succeeds(f"systemctl show -p MainPID --value cluster-address-1.service | grep -vx -e 0 -e {claim}")
    t.assertEqual(leader.get_unit_property("cluster-lease.service", "MainPID"), gate)
