# What starts the role on a node may be missing: process 1 had no inotify instance left for the path unit, or somebody stopped it.
# It is tried again; a node without it is not ready, says so, and is not chosen.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")

with subtest("stopped by hand, it stands again"):
    for unit in ("cluster-take.path", "cluster-yield.path"):
        beta.succeed(f"systemctl stop {unit}")
        beta.wait_for_unit(unit)

with subtest("where it cannot stand the node is not ready, and says why; nothing moves there"):
    beta.succeed("systemctl mask --runtime --now cluster-take.path")
    beta.wait_until_succeeds("hotspare status | grep 'off: cluster-take.path is not active, so no role could be started here'")
    alpha.wait_until_succeeds("hotspare status | grep 'beta (not ready)'")
    assert "nobody could lead" in alpha.succeed("hotspare status")
    assert "no other candidate stands by" in alpha.fail("hotspare switchover 2>&1")
    alpha.require_unit_state("cluster-primary.target", "active")
    assert "cluster-take.path is not active, and the role cannot be started or stopped here" in beta.fail("hotspare doctor")

with subtest("when it can, it does by itself, and the role moves"):
    beta.succeed("systemctl unmask --runtime cluster-take.path")
    alpha.wait_until_succeeds("hotspare status | grep 'beta (ready)'")
    alpha.succeed("hotspare switchover")
    beta.wait_for_unit("cluster-primary.target")
