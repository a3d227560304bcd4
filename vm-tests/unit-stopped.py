# Stopping one unit of the role stops the role, and the lease is not kept for nothing. `systemctl restart` of the target
# gives the role back and takes it again.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")

with subtest("a unit of the role is stopped by hand: the role is given back, this node is off"):
    alpha.succeed("systemctl stop nginx.service")
    beta.wait_for_unit("cluster-primary.target")
    alpha.wait_until_fails("systemctl is-active cluster-lease.service nginx.service cluster-standby.target")
    alpha.wait_until_succeeds("hotspare status | grep 'off: neither role is active here'")
    alpha.succeed("systemctl start cluster-standby.target")
    alpha.wait_until_succeeds("hotspare status --json | grep '\"role\": \"standby\"'")

with subtest("the primary target is restarted: given back and taken again"):
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    beta.execute("systemctl restart cluster-primary.target")
    client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who")
