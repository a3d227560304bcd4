# Two groups of opposite preference, each node primary of one; then a third with three candidates. They move independently, also
# when one's failover lands on a node that is primary of another.
import json

DB = "pid /run/db.pid; events {} http { access_log off; error_log /dev/null; server { listen 81; location = /who { default_type text/plain; return 200 \"$hostname\\n\"; } } }"
GROUPS = """
group "db" {
    candidates "beta" "alpha"
    hold-down "2s"
    unit "db.service"
    address "192.0.2.101/24" interface="eth1"
}
group "mail" {
    candidates "witness" "beta" "alpha"
    unit "mail.service"
    address "192.0.2.102/24" interface="eth1"
}
"""
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
import base64

for node in (alpha, beta, witness):
    node.succeed(f"echo {base64.b64encode(DB.encode()).decode()} | base64 -d > /root/db.conf")
    node.succeed("printf '[Service]\\nExecStart=/usr/sbin/nginx -c /root/db.conf -g \"daemon off;\"\\n' > /etc/systemd/system/db.service")
    node.succeed("printf '[Service]\\nExecStart=sleep infinity\\n' > /etc/systemd/system/mail.service")


def pids(node, *units):
    return [node.get_unit_property(unit, "MainPID") for unit in units]


def who(port):
    return client.succeed(f"curl -sf --max-time 1 http://192.0.2.10{port - 80}:{port}/who").strip()


def leads(node, group):
    node.wait_until_succeeds(f"hotspare status --json | tr -d ' \\n' | grep -F '\"name\":\"{group}\",\"role\":\"primary\"'")


with subtest("two more groups are added to a running cluster: nothing moves"):
    pid = pids(alpha, "nginx.service")
    for node in (alpha, beta, witness):
        node.succeed(f"echo {base64.b64encode(GROUPS.encode()).decode()} | base64 -d >> /etc/hotspare/cluster.kdl; hotspare check")
    for node in (alpha, beta):
        node.succeed("hotspare apply")
    witness.succeed("systemctl daemon-reload; systemctl restart hotspare-arbiter hotspare-heartbeat; systemctl enable --now hotspare-leased")
    leads(beta, "db")
    leads(witness, "mail")
    t.assertEqual(pids(alpha, "nginx.service"), pid)
    for node, group in ((alpha, "db"), (alpha, "mail"), (beta, "mail"), (beta, "default")):
        node.wait_until_succeeds(f"hotspare status --json | tr -d ' \\n' | grep -F '\"name\":\"{group}\",\"role\":\"standby\"'")
    client.wait_until_succeeds("curl -sf --max-time 1 http://192.0.2.101:81/who | grep -x beta")
    client.succeed("systemd-run -q --unit=web -p Type=notify lab-client 192.0.2.100:80 --out /tmp/web")
    client.succeed("systemd-run -q --unit=db -p Type=notify lab-client 192.0.2.101:81 --out /tmp/db")

with subtest("beta loses its power: its group lands on the primary of the other, which notices nothing"):
    beta.crash()
    leads(alpha, "db")
    t.assertEqual(pids(alpha, "nginx.service"), pid)
    client.wait_until_succeeds("curl -sf --max-time 1 http://192.0.2.101:81/who | grep -x alpha")
    beta.start()
    for group in ("db", "default", "mail"):
        beta.wait_until_succeeds(f"hotspare status --json | tr -d ' \\n' | grep -F '\"name\":\"{group}\",\"role\":\"standby\"'")

with subtest("one group goes back by hand, the other stays; then they swap"):
    beta.wait_until_succeeds("hotspare switchover db")
    leads(beta, "db")
    t.assertEqual(pids(alpha, "nginx.service"), pid)
    other = pids(beta, "db.service")
    beta.wait_until_succeeds("hotspare switchover default")
    leads(beta, "default")
    t.assertEqual(pids(beta, "db.service"), other)
    alpha.wait_until_succeeds("hotspare switchover db")
    leads(alpha, "db")
    beta.succeed("systemctl is-active nginx.service")

with subtest("a service fails for good where another group leads: only its own group moves"):
    beta.succeed("mkdir -p /run/systemd/system/nginx.service.d; printf '[Service]\\nRestart=no\\n' > /run/systemd/system/nginx.service.d/no.conf; systemctl daemon-reload")
    other = pids(alpha, "db.service")
    beta.succeed("systemctl kill -s KILL nginx.service")
    leads(alpha, "default")
    t.assertEqual(pids(alpha, "db.service"), other)

with subtest("the third: its first candidate goes, then the second; the order is that of the file"):
    witness.shutdown()
    leads(beta, "mail")
    both = pids(alpha, "nginx.service", "db.service")
    witness.start()
    witness.succeed("true")
    beta.wait_until_succeeds("hotspare status --json | tr -d ' \\n' | grep -F '\"name\":\"witness\",\"ready\":true'")
    beta.succeed("hotspare switchover mail --to alpha")
    leads(alpha, "mail")
    t.assertEqual(pids(alpha, "nginx.service", "db.service"), both)
    alpha.crash()
    leads(witness, "mail")
    leads(beta, "db")

with subtest("what the clients saw: one node at a time, for each group"):
    client.succeed("systemctl stop web db")
    web, db = (json.loads(client.succeed(f"cat /tmp/{name}"))["turns"] for name in ("web", "db"))
    t.assertEqual(web[:3], ["alpha", "beta", "alpha"])
    t.assertEqual(db[:4], ["beta", "alpha", "beta", "alpha"])
