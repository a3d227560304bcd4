# What systemd-analyze says of the exposure of each daemon: arbiter at most 1.5, and no daemon ever worse than it is now.
start_all()
alpha.wait_for_unit("cluster-primary.target")
RATCHET = {"hotspare-arbiter": 1.5, "hotspare-leased": 1.5, "hotspare-heartbeat": 1.5, "cluster-lease": 7.3, "cluster-address-1": 7.4}
for unit, most in RATCHET.items():
    with subtest(unit):
        said = alpha.succeed(f"systemd-analyze security --no-pager {unit}.service")
        level = float(said.strip().splitlines()[-1].split(":")[1].split()[0])
        log.info(f"{unit}: {level}")
        assert level <= most, f"{unit}: {level}, at most {most}"
