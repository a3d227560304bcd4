# A machine that only votes: small, and enough for two nodes to survive the loss of one.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")

with subtest("nothing but the arbiter runs there"):
    witness.require_unit_state("hotspare-arbiter.service")
    witness.fail("systemctl cat hotspare-leased.service")

with subtest("what it needs besides its libraries is small"):
    program = witness.succeed("readlink -f $(type -P hotspare-arbiter)").strip()
    size = int(witness.succeed(f"nix-store -qR {program} | xargs du -sbc | tail -n 1 | cut -f 1"))
    assert size < 100_000_000, f"{size} bytes"

with subtest("its vote counts"):
    alpha.crash()
    beta.wait_for_unit("cluster-primary.target")
    client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who | grep -x beta")
