# Cold start of all three: exactly one node becomes primary, the preferred one, without anyone typing anything. The
# user's service is enabled in multi-user.target on both, as its package left it, and disturbs nothing.
start_all()

with subtest("the preferred node leads"):
    alpha.wait_for_unit("cluster-primary.target")
    beta.wait_for_unit("cluster-standby.target")
    alpha.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")

with subtest("its service answers at the address, over IPv4 and IPv6"):
    t.assertEqual(client.wait_until_succeeds("curl -sf http://vip/who").strip(), "alpha")
    t.assertEqual(client.succeed("curl -sf http://[2001:db8:1::100]/who").strip(), "alpha")

with subtest("the other one runs nothing of it"):
    beta.fail("systemctl is-active cluster-primary.target cluster-lease.service nginx.service")
    beta.fail("ip -o addr show to 192.0.2.100 | grep .")

with subtest("both booted without failed units that matter, and the epoch is the first"):
    alpha.succeed("systemctl is-system-running --wait")
    status = alpha.succeed("hotspare status")
    assert "leads       alpha (epoch 1" in status, status
    t.assertEqual(beta.succeed("systemctl is-failed nginx.service || true").strip(), "inactive")
