"""The lab's power switch: a small web server that nobody but its password's owner commands, and a fence agent in front of it."""

from __future__ import annotations

import http.server
import subprocess
import threading

ADDRESS, PORT, PASSWORD = "192.0.2.250", 8000, "open sesame"
# The ClusterLabs protocol: options on standard input, 2 for a machine without power.
AGENT = """#!/bin/bash
while IFS== read -r key value; do declare "$key=$value"; done
case $action in
metadata) cat <<END
<?xml version="1.0" ?><resource-agent name="fence_lab" shortdesc="The lab's switch"><parameters>
<parameter name="action" unique="0" required="1"><content type="string" default="reboot"/></parameter>
<parameter name="ip" unique="0" required="1" obsoletes="ipaddr"><content type="string"/></parameter>
<parameter name="plug" unique="0" required="1" obsoletes="port"><content type="string"/></parameter>
<parameter name="password" unique="0" required="0" obsoletes="passwd"><content type="string"/></parameter>
</parameters></resource-agent>
END
;;
*) said=$(curl -s --max-time 3 -H "Password: $password" "http://$ip/$plug/$action") || { echo "$ip does not answer" >&2; exit 1; }
   case $said in on|done) exit 0;; off) exit 2;; *) echo "$said" >&2; exit 1;; esac;;
esac
"""
OUTLET = f"""#!/bin/bash
case $(curl -s --max-time 3 -H "Password: {PASSWORD}" "http://{ADDRESS}:{PORT}/$1/$2") in on|done) exit 0;; off) exit 2;; *) exit 1;; esac
"""
LINE = f'fence "agent" "fence_lab" timeout="10s" {{ option "ip" "{ADDRESS}:{PORT}"; option "plug" "%s"; secret "password" "switch"; }}'


class Power:
    """The plugs of these machines."""

    def __init__(self, *machines) -> None:
        self.machines = {machine.name: machine for machine in machines}
        self.lies = False  # takes every command, and does nothing
        self.dead: set[str] = set()  # plugs that lost their power with the machine
        self.ons: dict[str, threading.Thread] = {}

    def __enter__(self) -> "Power":
        subprocess.run(["ip", "addr", "replace", f"{ADDRESS}/24", "dev", "br1"], check=True)
        power = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802 - the name is the library's
                said = power.asked(self.path.split("/")[1:], self.headers.get("Password"))
                self.send_response(200 if said else 503)
                self.end_headers()
                self.wfile.write(said.encode())

            def log_message(self, *said) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer((ADDRESS, PORT), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()
        for thread in self.ons.values():
            thread.join()

    def asked(self, words: list[str], password: str | None) -> str:
        plug, action = words
        machine = self.machines[plug]
        if password != PASSWORD:
            return "who are you?"
        if plug in self.dead:
            return "no answer from the plug"
        if action == "status":
            return "on" if machine.process else "off"
        if not self.lies and action == "off":
            machine.crash()
        elif not self.lies and not machine.process:
            self.ons[plug] = threading.Thread(target=machine.start)  # a boot takes longer than a switch does
            self.ons[plug].start()
        return "done"

    def configure(self, text: str) -> str:
        """A configuration with a `fence` line for each machine."""
        for name in self.machines:
            link = f'link "198.51.100.{1 if name == "alpha" else 2}";'
            text = text.replace(link, f"{link} {LINE % name};", 1)
        return text

    def install(self) -> None:
        """The agent and the program, on all machines; they need not run."""
        for machine in self.machines.values():
            for path, content in (("usr/sbin/fence_lab", AGENT), ("usr/local/sbin/outlet", OUTLET)):
                (machine.root / path).parent.mkdir(parents=True, exist_ok=True)
                (machine.root / path).write_text(content)
                (machine.root / path).chmod(0o755)

    def trust(self, machine) -> None:
        """The password, as a credential."""
        machine.succeed(f"mkdir -p /etc/credstore; umask 077; echo '{PASSWORD}' > /etc/credstore/switch")


def hangs_without_proof(holder, other) -> None:
    """The holder hangs, nobody can prove that it is off: its lease is waited for, and it stands by when it goes on."""
    holder.freeze()
    other.wait_until_succeeds(f"journalctl -o cat | grep '{holder.name} is to be switched off: silent for'", timeout=60)
    other.wait_until_succeeds(f"journalctl -o cat | grep '{holder.name} is not proven to be off'", timeout=60)
    other.wait_for_unit("cluster-up.service", timeout=60)
    other.fail("journalctl -o cat | grep 'its lease is over'")
    holder.thaw()
    holder.wait_for_unit("cluster-standby.target", timeout=60)


def hangs_and_is_shot(holder, other) -> None:
    """The holder hangs, and is switched off and on: nobody waits for its lease, and it comes back as a standby."""
    lives = holder.lives
    holder.freeze()
    other.wait_for_unit("cluster-up.service", timeout=60)
    other.succeed(f"journalctl -o cat | grep '{holder.name} is proven to be off: its lease is over, .* early'")
    other.wait_until_succeeds(f"hotspare status | grep '{holder.name} (ready)'", timeout=90)
    assert holder.lives == lives + 1
    assert other.get_unit_property(f"hotspare-fence@{holder.name}.service", "Result") == "success"
