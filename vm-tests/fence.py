# A power switch, asked over the network by a fence agent and by a program: a node that is switched off is proven to be off, its role moves, and it is
# switched on again; a switch that lies proves nothing, and of one that does not answer the next level takes the place.
import http.server
import subprocess
import threading

ADDRESS, PORT = "192.0.2.250", 8000
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
case $(curl -s --max-time 3 -H "Password: open sesame" "http://{ADDRESS}:{PORT}/$1/$2") in on|done) exit 0;; off) exit 2;; *) exit 1;; esac
"""
FILE = "/etc/hotspare/cluster.kdl"
lies = False


class Switch(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # noqa: N802 - the name is the library's
        _, plug, action = self.path.split("/")
        machine = {"alpha": alpha, "beta": beta}[plug]
        if self.headers.get("Password") != "open sesame":
            said = "who are you?"
        elif action == "status":
            said = "on" if machine.process else "off"
        else:
            if not lies:
                machine.crash() if action == "off" else machine.start()
            said = "done"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, *said) -> None:
        pass


start_all()
alpha.wait_for_unit("cluster-up.service")
subprocess.run(["ip", "addr", "replace", f"{ADDRESS}/24", "dev", "br1"], check=True)
switch = http.server.ThreadingHTTPServer((ADDRESS, PORT), Switch)
threading.Thread(target=switch.serve_forever, daemon=True).start()
agent = f'fence "agent" "fence_lab" timeout="10s" {{ option "ip" "{ADDRESS}:{PORT}"; option "plug" "%s"; secret "password" "switch"; }}'
text = alpha.succeed(f"cat {FILE}")
for name in ("alpha", "beta"):
    link = f'link "198.51.100.{1 if name == "alpha" else 2}";'
    text = text.replace(link, f"{link} {agent % name};", 1)
for node in (alpha, beta):
    node.copy_text(FILE, text)
    node.copy_text("/usr/sbin/fence_lab", AGENT)
    node.copy_text("/usr/local/sbin/outlet", OUTLET)
    node.succeed("chmod 755 /usr/sbin/fence_lab /usr/local/sbin/outlet; hotspare check")

with subtest("everything but the trigger is tried: a secret that is missing, a device that answers"):
    assert 'there is no credential "switch"' in beta.fail("hotspare-fence test 2>&1")
    for node in (alpha, beta):
        node.succeed("mkdir -p /etc/credstore; umask 077; echo 'open sesame' > /etc/credstore/switch")
    t.assertEqual(beta.succeed("hotspare-fence test | grep -c '^ok .*: on$'").strip(), "2")
    assert "another node" in alpha.fail("hotspare-fence off alpha 2>&1")
    assert "open sesame" not in beta.succeed("hotspare-fence list")

with subtest("a switch that lies proves nothing"):
    lies = True
    said = beta.fail("hotspare-fence off alpha 2>&1")
    assert "alpha is not proven to be off" in said and "says that there is power still" in said, said
    alpha.require_unit_state("cluster-up.service")
    lies = False

with subtest("the primary is switched off, proven, and the other node leads"):
    said = beta.succeed("hotspare-fence off alpha")
    assert "alpha is off, proven by power-off (level 1" in said, said
    beta.wait_for_unit("cluster-up.service")
    assert "  off" in beta.succeed("hotspare-fence status alpha")
    beta.succeed("journalctl -o cat | grep 'alpha is off, proven by power-off'")

with subtest("and on again"):
    beta.succeed("hotspare-fence on alpha")
    beta.wait_until_succeeds("hotspare status | grep 'alpha (ready)'", timeout=60)

with subtest("one device does not answer: the next level does it; then a reboot"):
    broken = text.replace(f'"{ADDRESS}:{PORT}"; option "plug" "alpha"', '"192.0.2.251:80"; option "plug" "alpha"')
    broken = broken.replace('link "198.51.100.1";', 'link "198.51.100.1"; fence "run" "/usr/local/sbin/outlet" "alpha" level=2;', 1)
    beta.copy_text(FILE, broken)
    assert "does not answer" in beta.fail("hotspare-fence test alpha 2>&1")
    boot = alpha.succeed("cat /proc/sys/kernel/random/boot_id; systemctl show -p UserspaceTimestampMonotonic")
    assert "proven by power-off (level 2" in beta.succeed("hotspare-fence off alpha")
    beta.execute("hotspare-fence on alpha")  # the first device still does not answer, the second one has power on
    alpha.wait_until_succeeds("systemctl is-active hotspare-leased.service", timeout=60)
    assert alpha.succeed("cat /proc/sys/kernel/random/boot_id; systemctl show -p UserspaceTimestampMonotonic") != boot
switch.shutdown()
switch.server_close()
