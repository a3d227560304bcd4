"""hotspare as a stack of the independent failover harness: copy this file into its `stacks/` folder, set HOTSPARE to a clean clone in
which `make build` has run, and call `fo.py run --stacks hotspare,hotspare-0.5`. What came out: docs/benchmarks.md."""

import os
import subprocess
from pathlib import Path

from lab import ADDR, NODES, VIP, sh
from stacks.base import Stack

REPO = Path(os.environ.get("HOTSPARE", "."))
PROGRAMS = "hotspare hotspare-arbiter hotspare-gate hotspare-generator hotspare-heartbeat hotspare-lease hotspare-leased hotspare-probe vip-claim"
RESTART = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=on-failure\nRestartSec=10ms\n"


class Hotspare(Stack):
    name = "hotspare"
    nodes = ("n1", "n2", "n3")
    disable = ["fosvc.service"]  # the role starts it
    daemons = r"hotspare-(arbite|heartb|leased?|gate).*|vip-claim"
    units = ["hotspare-arbiter.service", "hotspare-leased.service", "hotspare-heartbeat.service", "cluster-lease.service", "cluster-address-1.service"]
    note = "defaults (lease 1.8 s), three voters, no fence device; the service has Restart=on-failure"
    timing = ""

    def __init__(self):
        self.keys = {}

    def key(self, node):
        if node not in self.keys:
            file = Path(f"/tmp/{self.name}-{os.getpid()}-{node}.key")
            keygen = [REPO / "target/release/hotspare", "keygen", "--out", file]
            public = subprocess.run(keygen, check=True, capture_output=True, text=True).stdout.strip()
            self.keys[node] = (file.read_text(), public)
            file.unlink()
        return self.keys[node]

    def config(self):
        nodes = "".join(f'node "{node}" key="{self.key(node)[1]}" {{\n    link "{ADDR[node]}"\n}}\n' for node in NODES)
        return f"""cluster "bench"
{nodes}voters "n1" "n2" "n3"
group "default" {{
    candidates "n1" "n2"
    {self.timing}
    unit "fosvc.service"
    address "{VIP}/24" interface="host0"
}}
"""

    def install(self, lab, node, root):
        sh(["make", "-C", str(REPO), "install", f"DESTDIR={root}"])
        etc = root / "etc/hotspare"
        etc.mkdir()
        (etc / "cluster.kdl").write_text(self.config())
        (etc / "node.key").write_text(self.key(node)[0])
        (etc / "node.key").chmod(0o600)
        drop_in = root / "etc/systemd/system/fosvc.service.d"
        drop_in.mkdir()
        (drop_in / "restart.conf").write_text(RESTART)
        sh(["systemd-sysusers", f"--root={root}"])
        daemons = ["hotspare-heartbeat", "hotspare-arbiter"] + (["hotspare-leased"] if node in self.data else [])
        sh(["systemctl", f"--root={root}", "enable", *daemons])

    def extra_size_kb(self):
        return sum((REPO / "target/release" / name).stat().st_size for name in PROGRAMS.split()) // 1024

    def ready(self, lab):
        held = lab.holders()
        return len(held) == 1 and "(ready)" in lab.ex(held[0], "hotspare status", check=False)

    def switchover(self, lab, src, dst):
        lab.ex(src, "hotspare switchover")

    def after(self, lab, fault, node):
        for name in self.data:
            if lab.alive(name):
                lab.ex(name, "systemctl reset-failed", check=False)


class HotspareShort(Hotspare):
    name = "hotspare-0.5"
    timing = 'outage-budget "550ms"'
    note = "as hotspare, with a lease of 0.5 s"


STACKS = [Hotspare, HotspareShort]
