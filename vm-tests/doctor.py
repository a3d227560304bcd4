# `hotspare doctor` on a healthy node, and then with one thing after the other that stands in the way; the rows of the table
# "your unit is" of docs/configuration.md, on the real systemd.
# lab-config: unit "once.service"; unit "lazy.service"; unit "inst@one.service"
import json


def unit(node, name, text):
    node.succeed(f"printf '{text}' > /etc/systemd/system/{name}")


for node in (alpha, beta):
    node.start()
    unit(node, "once.service", "[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=touch /run/once\\nExecStop=rm /run/once\\n")
    unit(node, "lazy.service", "[Service]\\nExecStart=sleep infinity\\n")
    unit(node, "inst@.service", "[Service]\\nExecStart=sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n")
    node.succeed("systemctl daemon-reload")
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")


def doctor(node, wanted=None):
    status, text = node.execute("hotspare doctor --json")
    found = {f"{finding['grade']} {finding['what']}: {finding['text']}" for finding in json.loads(text)}
    for words in [wanted] if wanted else []:
        assert any(words in line for line in found), (words, sorted(found))
    return status, found


with subtest("a healthy node: nothing is bad"):
    for node in (alpha, beta):
        status, found = doctor(node)
        t.assertEqual(status, 0, sorted(found))
        for words in ("fine systemd: version", "fine key:", "on eth1, MTU 1500", "fine clock:", "fine disk: a synced write takes", "fine voter: all of them answer", "the nodes that were heard have the same file", "fine daemon: hotspare-leased.service runs", "fine unit: lazy.service is fit for a role", "nginx.service is enabled in multi-user.target"):
            assert any(words in line for line in found), (words, sorted(found))
    assert "ok    key" in alpha.succeed("hotspare doctor")

with subtest("enabled elsewhere, a oneshot, an instance: they run with the role and only there"):
    alpha.succeed("systemctl enable inst@one.service; test -e /run/once; systemctl is-active nginx once lazy inst@one")
    beta.fail("systemctl start nginx.service")
    beta.fail("systemctl is-active nginx once lazy inst@one")
    doctor(alpha, "fine unit: inst@one.service is enabled in multi-user.target")

with subtest("a socket in front of a unit that is not listed"):
    unit(alpha, "lazy.socket", "[Socket]\\nListenStream=/run/lazy.sock\\n[Install]\\nWantedBy=sockets.target\\n")
    alpha.succeed("systemctl daemon-reload; systemctl enable lazy.socket")
    doctor(alpha, 'warn unit: lazy.service is started by lazy.socket, which waits on every node: add unit "lazy.socket" before it')
    alpha.succeed("systemctl disable lazy.socket; rm /etc/systemd/system/lazy.socket; systemctl daemon-reload")

with subtest("a oneshot that is over when it is done, a masked unit, an endless stop"):
    beta.succeed("sed -i /RemainAfterExit/d /etc/systemd/system/once.service; echo TimeoutStopSec=infinity >> /etc/systemd/system/inst@.service; sed -i 's/^TimeoutStopSec.*//; s/^\\[Service\\]/[Service]\\nTimeoutStopSec=infinity/' /etc/systemd/system/inst@.service; mv /etc/systemd/system/lazy.service /root; ln -s /dev/null /etc/systemd/system/lazy.service; systemctl daemon-reload")
    status, found = doctor(beta, "bad unit: once.service is a oneshot that is over when it is done")
    t.assertEqual(status, 1)
    doctor(beta, "bad unit: lazy.service is masked")
    doctor(beta, "warn unit: inst@one.service may take infinity to stop")
    beta.succeed("rm /etc/systemd/system/lazy.service; mv /root/lazy.service /etc/systemd/system; systemctl daemon-reload")

with subtest("a process outside the slice that has the address"):
    alpha.succeed("systemd-run -q --unit=stranger nc -lk 192.0.2.100 99")
    alpha.wait_until_succeeds("ss -Hnlt src 192.0.2.100 | grep :99")
    doctor(alpha, "(nc) listens on 192.0.2.100 outside cluster-default.slice")
    alpha.succeed("systemctl stop stranger")

with subtest("a firewall, a small MTU, another file, a daemon that is off, a voter that is silent"):
    beta.succeed("nft add table inet f; nft add chain inet f in '{ type filter hook input priority 0; policy drop; }'; nft add rule inet f in ct state established accept; nft add rule inet f in udp dport 7402 accept")
    doctor(beta, "bad firewall: input is dropped, and not all ports are named: udp dport 7400-7402 accept")
    beta.succeed("nft delete table inet f; ip link set eth2 mtu 1200")
    doctor(beta, "eth2 (198.51.100.2) has an MTU of 1200")
    beta.succeed("ip link set eth2 mtu 1500; echo '// mine' >> /etc/hotspare/cluster.kdl; systemctl restart hotspare-heartbeat")
    alpha.wait_until_succeeds("hotspare doctor | grep 'warn  configuration: beta runs with another file'")
    beta.succeed("systemctl stop hotspare-arbiter")
    doctor(beta, "bad daemon: hotspare-arbiter.service does not run: systemctl enable --now hotspare-arbiter.service")
    alpha.wait_until_succeeds("hotspare doctor | grep 'warn  voter: beta does not answer'")

with subtest("where it cannot look it says so"):
    status, text = client.execute("hotspare doctor")
    t.assertEqual(status, 78, text)
    status, text = alpha.execute("runuser -u nobody -- hotspare doctor")
    assert "private key" in text and "run as root" in text, text
