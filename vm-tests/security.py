# lab-config: volume "data" { backing "/var/lib/data.img"; frontend "socket"; }
# What systemd-analyze says of the exposure of each daemon: arbiter at most 1.5, and no daemon ever worse than it is now.
start_all()
alpha.wait_for_unit("hotspare-leased.service")
RATCHET = {"hotspare-arbiter": 1.5, "hotspare-leased": 1.5, "hotspare-heartbeat": 1.5, "cluster-lease": 5.9, "cluster-address-1": 5.7, "hotspare-replicate@data": 2.9, "hotspare-volume@data": 4.5}
for unit, most in RATCHET.items():
    with subtest(unit):
        said = alpha.succeed(f"systemd-analyze security --no-pager {unit}.service")
        level = float(said.strip().splitlines()[-1].split(":")[1].split()[0])
        log.info(f"{unit}: {level}")
        assert level <= most, f"{unit}: {level}, at most {most}"
