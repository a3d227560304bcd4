# Seen from outside: the D-Bus interfaces are what is committed, the examples of docs/dbus.md run, and every command with wrong
# arguments, missing rights, an absent daemon or the configuration of another cluster says what to do.
import re

start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")


wrong = []


def says(node, command, status, words):
    found, text = node.execute(f"{command} 2>&1")
    if found != status or words not in text:
        wrong.append(f"{command}: {found}, wanted {status} and {words!r}: {text}")


with subtest("the interfaces are those that are committed"):
    for name, place in (("Lease1", "/org/hotspare/Lease1/group/default"), ("Heartbeat1", "/org/hotspare/Heartbeat1/peer/beta")):
        text = alpha.succeed(f"busctl introspect --xml-interface org.hotspare.{name} {place}")
        own = re.search(rf'  <interface name="org.hotspare.{name}">.*?</interface>\n', text, flags=re.DOTALL).group(0)
        told = re.sub(r"\s*<!--.*?-->", "", own, flags=re.DOTALL)
        committed = alpha.succeed(f"cat /usr/share/dbus-1/interfaces/org.hotspare.{name}.xml")
        members = lambda xml: sorted(re.findall(r'<(?:property|method|signal) [^>]*', xml))  # noqa: E731
        t.assertEqual(members(told), members(committed), told)

with subtest("the examples of docs/dbus.md run"):
    lines = alpha.succeed("sed -n '/^```sh/,/^```$/p' /usr/share/doc/hotspare/dbus.md | grep -v '^```'").splitlines()
    t.assertGreaterEqual(len(lines), 6)
    for line in lines:
        alpha.succeed(line)

with subtest("wrong arguments"):
    for command, words in (
        ("hotspare", "Usage"), ("hotspare stats", "status"), ("hotspare switchover nope", 'no candidate of a group "nope"'),
        ("hotspare switchover --to nope", '"nope" is no candidate'), ("hotspare-lease hold", "Usage"), ("vip-claim", "Usage"),
        ("vip-claim 192.0.2.1 --interface eth1", "prefix length"), ("hotspare-probe tcp nowhere", "for example 127.0.0.1:5432"), ("hotspare-gate", "Usage"),
        ("hotspare-arbiter --nope", "Usage"), ("hotspare-leased --nope", "Usage"), ("hotspare-heartbeat nope", "Usage"),
    ):
        says(alpha, command, 64, words)

with subtest("missing rights"):
    for command in ("hotspare switchover", "hotspare pause", "hotspare resume", "hotspare apply", "hotspare force --lost beta --reason 'gone for good'", "hotspare-lease hold jobs -- true"):
        says(alpha, f"runuser -u nobody -- {command}", 77, "only root")
    says(alpha, "runuser -u nobody -- vip-claim 192.0.2.99/24 --interface eth1", 77, "CAP_NET")
    assert "leads       alpha" in alpha.succeed("runuser -u nobody -- hotspare status")

with subtest("no daemon"):
    for command in ("hotspare status", "hotspare switchover", "hotspare pause", "hotspare-lease hold jobs -- true"):
        says(client, command, 69, "systemctl start")
    says(client, "hotspare-heartbeat listen", 69, "systemctl start")
    says(client, "hotspare check", 78, "/etc/hotspare/cluster.kdl")

with subtest("all of these said what to do"):
    t.assertEqual(wrong, [])

with subtest("the configuration of another cluster: a stranger is not heard, and is told why it gets nowhere"):
    text = alpha.succeed("base64 -w0 /etc/hotspare/cluster.kdl")
    beta.succeed("cp /etc/hotspare/cluster.kdl /root/good.kdl; sed -i 's/^cluster \"lab\"/cluster \"other\"/' /etc/hotspare/cluster.kdl; systemctl restart hotspare-leased hotspare-heartbeat")
    beta.wait_until_succeeds("hotspare status | grep -E 'no quorum: 0 of 3 voters answer'")
    beta.wait_until_succeeds("(hotspare doctor || true) | grep 'warn  voter: alpha does not answer'")
    alpha.succeed("hotspare status | grep 'leads       alpha'")
    beta.succeed("cp /root/good.kdl /etc/hotspare/cluster.kdl; systemctl restart hotspare-leased hotspare-heartbeat")
    beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")

with subtest("the key of another node"):
    beta.succeed("cp /etc/hotspare/node.key /root/good.key; hotspare keygen --force 2> /dev/null")
    beta.fail("systemctl restart hotspare-leased")
    beta.succeed("journalctl -o cat --no-pager -u hotspare-leased -n 10 | grep 'is not the key of \"beta\"'")
    beta.succeed("mv /root/good.key /etc/hotspare/node.key; systemctl reset-failed hotspare-leased; systemctl start hotspare-leased")
    beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
