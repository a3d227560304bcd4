# Every daemon killed with SIGKILL, then stopped with SIGSTOP, on the standby and on the primary: at worst a failover, never
# two primaries, never an address left behind.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen --history /tmp/history")
DAEMONS = ("hotspare-heartbeat", "hotspare-arbiter", "hotspare-leased")
ROLE = ("cluster-address-1", "cluster-lease")


def settled():
    """Exactly one leads, the other stands by and is ready; nothing of the role is on the latter. Returns both."""
    for node in (alpha, beta):
        node.wait_until_succeeds("hotspare status --json | grep -E '\"role\": \"(primary|standby)\"'", timeout=60)
    name = client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who", timeout=60).strip()
    one, other = (alpha, beta) if name == "alpha" else (beta, alpha)
    one.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")
    one.wait_until_succeeds(f"hotspare status | grep '{other.name} (ready)'", timeout=60)
    other.fail("ip -o addr show to 192.0.2.100 | grep .")
    other.fail("systemctl is-active nginx.service cluster-lease.service")
    return one, other


for signal in ("KILL", "STOP"):
    for place in ("standby", "primary"):
        for unit in DAEMONS if place == "standby" else DAEMONS + ROLE:
            with subtest(f"{unit} on the {place}: SIG{signal}"):
                one, other = settled()
                node = one if place == "primary" else other
                before = node.get_unit_property(f"{unit}.service", "MainPID")
                node.succeed(f"systemctl kill -s {signal} {unit}.service")
                if signal == "STOP":
                    # The watchdog ends what does not go on; the lease may end before that.
                    node.wait_until_succeeds(f"systemctl show -p MainPID --value {unit}.service | grep -vx {before}", timeout=60)
                if place == "standby":
                    assert settled()[0] is one, "a daemon of the standby moved the role"

with subtest("what the client saw fits the tenures that the voters recorded"):
    settled()
    client.succeed("systemctl stop watcher")
    import json

    votes = {}
    for node in (alpha, beta, witness):
        for line in node.succeed("journalctl -o json --no-pager MESSAGE_ID=3daf6e340ebce2ba859961111271a64f HOTSPARE_GROUP=default").splitlines():
            entry = json.loads(line)
            of = votes.setdefault((int(entry["HOTSPARE_EPOCH"]), entry["HOTSPARE_NODE"]), {})
            of.setdefault(node.name, int(entry["__REALTIME_TIMESTAMP"]))
    # What one voter alone recorded was granted to nobody.
    order = [(min(of.values()), holder) for (_, holder), of in sorted(votes.items()) if len(of) > 1]
    ends = [at for at, _ in order[1:]] + [None]
    lines = [json.dumps({"key": "default", "op": "write", "value": holder, "from": at, "to": end}) for (at, holder), end in zip(order, ends)]
    text = "\n".join(lines)
    client.succeed(f"cat >> /tmp/history <<'END'\n{text}\nEND")
    said = client.succeed("lab-history /tmp/history")
    log.info(f"{len(order)} tenures; {said.strip()}")
