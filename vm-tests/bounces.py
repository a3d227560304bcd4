# A role that bounces: after so many moves within an hour that nobody asked for, a node waits to be asked, and says so.
# lab-config: moves-per-hour 2
TOO_MANY = "MESSAGE_ID=47d32fcd0e25488f8f8fa2f2745610a2"
start_all()
alpha.wait_for_unit("cluster-primary.target")  # the first of alpha's moves
for lost, other in ((alpha, beta), (beta, alpha)):
    with subtest(f"{lost.name} is cut off: {other.name} takes over"):
        other.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
        lost.block()
        other.wait_for_unit("cluster-primary.target")
        lost.wait_for_unit("cluster-standby.target")
        lost.unblock()

with subtest("the second one is one too many"):
    alpha.wait_until_succeeds(f"journalctl -o cat --no-pager {TOO_MANY} HOTSPARE_GROUP=default | grep 'took the role 2 times within an hour'")
    beta.fail(f"journalctl -o cat --no-pager {TOO_MANY} | grep .")

with subtest("it goes to beta, and from there nowhere: the group stays where it is lost rather than bounce"):
    alpha.wait_until_succeeds("hotspare status | grep 'beta (ready)'")
    alpha.block()
    beta.wait_for_unit("cluster-primary.target")
    alpha.wait_for_unit("cluster-standby.target")
    alpha.unblock()
    alpha.wait_until_succeeds("hotspare status | grep 'took the role too often within an hour: waits to be asked'")
    beta.block()
    alpha.wait_until_succeeds("hotspare status | grep 'leads       nobody'")
    alpha.require_unit_state("cluster-standby.target")
    client.fail("curl -sf --max-time 1 http://vip/who")

with subtest("asked, it takes it at once, and counts anew"):
    alpha.succeed("hotspare switchover")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "alpha")
    beta.unblock()
    beta.wait_for_unit("cluster-standby.target")
