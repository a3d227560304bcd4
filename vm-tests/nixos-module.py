# What the NixOS module writes has run a failover: the files of tests/nixos/golden/lab-* (evaluated from vm-tests/nixos/cluster.nix), laid
# out as NixOS lays them out, on machines that have the toolkit where NixOS would have it.
import json
from pathlib import Path

GOLDEN = Path(__file__).parent.parent / "tests/nixos/golden"
STORE = "/nix/store/00000000000000000000000000000000-hotspare"
SYSTEM = "etc/systemd/system"


def as_nixos(machine):
    """Before it boots: configuration, key and units of the module in place of those of the lab."""
    root = machine.root
    for file in sorted(path for path in (GOLDEN / f"lab-{machine.name}").rglob("*") if path.is_file()):
        name, text = str(file.relative_to(GOLDEN / f"lab-{machine.name}")), file.read_text()
        unit = Path(name).name
        if Path(name).parent == Path(SYSTEM) and (root / "usr/lib/systemd/system" / unit).exists():
            name = f"{SYSTEM}/{unit}.d/overrides.conf"  # asDropinIfExists
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if text.startswith("-> "):
            target.symlink_to(text.removeprefix("-> ").replace("../", "/usr/lib/systemd/system/"))
        else:
            target.write_text(text)
            target.chmod(0o600 if name.endswith(".key") else 0o644)
    store = root / STORE.lstrip("/")
    store.mkdir(parents=True)
    for folder in ("bin", "lib", "share"):
        (store / folder).symlink_to(f"/usr/{folder}")
    # In the lab nginx is enabled, as its package left it; what the module makes of a service is wanted by nobody.
    (root / SYSTEM / "multi-user.target.wants/nginx.service").unlink(missing_ok=True)


for machine in (alpha, beta, witness):
    as_nixos(machine)
start_all()

with subtest("it is what runs: the module's file, key and credentials, and systemd has no complaint"):
    alpha.wait_for_unit("cluster-primary.target")
    for machine in (alpha, beta, witness):
        machine.succeed("hotspare check; head -n 1 /etc/hotspare/cluster.kdl | grep -x 'cluster \"lab\" port=7400'")
        machine.succeed("systemctl cat hotspare-arbiter.service | grep -x X-StopIfChanged=false")
        machine.succeed("cmp /run/credentials/hotspare-heartbeat.service/node.key /etc/hotspare/node.key")
        complaints = machine.execute("journalctl -b -o cat _PID=1 | grep -E 'overrides.conf|50-hotspare.conf' | grep -v X-")[1]
        t.assertEqual(complaints, "")

with subtest("on the witness the lease client is there and not started"):
    witness.fail("systemctl is-active hotspare-leased.service")
    witness.require_unit_state("hotspare-arbiter.service")

with subtest("power cut: the standby takes over; power returns: nothing moves"):
    beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
    client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen")
    alpha.crash()
    beta.wait_for_unit("cluster-primary.target")
    client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who | grep -x beta")
    alpha.start()
    alpha.wait_for_unit("cluster-standby.target")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    beta.require_unit_state("cluster-primary.target")

with subtest("the question before a switch: what would cost the role is refused, what would not is not"):
    for machine in (alpha, beta):
        machine.succeed("sed 's/candidates \"alpha\" \"beta\"/candidates \"alpha\"/' /etc/hotspare/cluster.kdl > /root/new.kdl")
    assert "Move it first" in beta.fail("hotspare apply --dry-run --file /root/new.kdl 2>&1")
    assert "moves no role" in alpha.succeed("hotspare apply --dry-run --file /root/new.kdl")
    beta.succeed("sed 's/^group \"jobs\"/group \"tasks\"/' /etc/hotspare/cluster.kdl > /root/new.kdl; hotspare apply --dry-run --file /root/new.kdl")
    beta.succeed("sed 's/unit \"nginx.service\"/unit \"httpd.service\"/' /etc/hotspare/cluster.kdl > /root/new.kdl")
    assert "default: its change waits until the role moves" in beta.succeed("hotspare apply --dry-run --file /root/new.kdl")
    alpha.succeed("sed 's/node \"witness\" key=/node \"umpire\" key=/' /etc/hotspare/cluster.kdl > /root/new.kdl")
    assert "OTHER VOTERS" in alpha.fail("hotspare apply --dry-run --file /root/new.kdl 2>&1")

with subtest("as a switch does it: reload, then the daemons that have changed are restarted, all at once; no role moves"):
    gate = beta.get_unit_property("cluster-lease.service", "MainPID")
    for machine in (alpha, witness, beta):
        machine.succeed("sed -i 's/^group \"jobs\"/group \"tasks\"/' /etc/hotspare/cluster.kdl; systemctl daemon-reload")
        machine.succeed("systemctl try-restart hotspare-arbiter hotspare-heartbeat hotspare-leased")
        machine.wait_until_succeeds("hotspare status")
    beta.wait_until_succeeds("hotspare status --json | grep '\"name\": \"tasks\"'")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'")
    t.assertEqual(beta.get_unit_property("cluster-lease.service", "MainPID"), gate)
    beta.require_unit_state("cluster-primary.target")

with subtest("what the client saw"):
    client.succeed("systemctl stop watcher")
    t.assertEqual(json.loads(client.succeed("cat /tmp/seen"))["turns"], ["alpha", "beta"])
