# PostgreSQL on ext4 on a volume, in virtual machines: whatever happens to either node, every commit that a client was told of is there.
# lab-machines: alpha beta
# lab-config: volume "data" { backing "/dev/vdb"; mount "/srv/data" type="ext4"; }; unit "db.service"; outage-budget "11s"
DB = """[Unit]
Description=The database
[Service]
Type=notify
User=postgres
ExecStart=/usr/lib/postgresql/17/bin/postgres -D /srv/data/db -c listen_addresses=* -c max_wal_size=32MB -c min_wal_size=32MB -c unix_socket_directories=
TimeoutSec=180
"""
# One commit after the other; what is acknowledged is noted before the next is asked for. After an error the next connection goes on
# where the acknowledgements end.
COMMITS = """#!/bin/bash
export PGCONNECT_TIMEOUT=3
options="tcp_user_timeout=3000 keepalives_idle=1 keepalives_interval=1 keepalives_count=3" # a server without power says nothing
psql() { stdbuf -oL psql -qAt -v ON_ERROR_STOP=1 -d "host=192.0.2.100 user=postgres dbname=postgres $options" "$@"; }
while true; do
    echo "$(date +%T) from $(tail -n 1 /var/lib/acknowledged)"
    psql -c 'create table if not exists t (n bigint primary key)' &&
    seq $(( $(tail -n 1 /var/lib/acknowledged | grep . || echo 0) + 1 )) 10000000 |
        sed 's/.*/insert into t values (&) on conflict (n) do update set n = excluded.n returning n;/' |
        psql >> /var/lib/acknowledged
    read -t 0.2 <> <(:)
done
"""


def acknowledged() -> int:
    return int(client.succeed("tail -n 1 /var/lib/acknowledged | grep . || echo 0"))


def commits_go_on(timeout: int = 120) -> int:
    before = acknowledged()
    client.wait_until_succeeds(f"test $(tail -n 1 /var/lib/acknowledged | grep . || echo 0) -gt {before + 20}", timeout=timeout)
    return before


def nothing_is_lost(node, number: int) -> None:
    """All of 1 to `number` were acknowledged: they are in the table."""
    found = int(node.succeed(f"psql -h localhost -U postgres -d postgres -At -c 'select count(*) from t where n <= {number}'"))
    log.info(f"{number} commits were acknowledged, {found} of them are there")
    t.assertEqual(found, number)


def wait_equal(node, other) -> None:
    want = f'[.copies[] | select(.node == "{other.name}" and .joined and .counts)] | length == 1'
    node.wait_until_succeeds(f"hotspare-replicate status data --json | jq -e '{want}'", timeout=180)
    node.wait_until_succeeds(f"hotspare status | grep '{other.name} (ready)'", timeout=180)


def leads(node) -> None:
    node.wait_for_unit("cluster-up.service", timeout=180)


INITDB = "/usr/lib/postgresql/17/bin/initdb -D /srv/new/db -A trust && echo host all all 192.0.2.0/24 trust >> /srv/new/db/pg_hba.conf"
alpha.fill_data(f"install -d -o postgres /srv/new && su postgres -c '{INITDB}'", "/srv/new")
for node in (witness, client, alpha, beta):
    node.start()
for node in (alpha, beta):
    node.copy_text("/etc/systemd/system/db.service", DB)
    node.succeed("systemctl daemon-reload; systemctl stop hotspare-replicate@data")
client.copy_text("/root/commits", COMMITS)
client.succeed("touch /var/lib/acknowledged")

with subtest("a disk with a file system and a database on it becomes a volume, and nothing is copied on it"):
    alpha.succeed("hotspare-replicate create data --first")
    beta.succeed("hotspare-replicate create data")
    for node in (alpha, beta):
        node.succeed("systemctl reset-failed; systemctl start hotspare-replicate@data")
    leads(alpha)
    t.assertEqual(alpha.succeed("findmnt -n -o SOURCE,FSTYPE /srv/data").split(), [alpha.succeed("readlink -f /dev/hotspare/data").strip(), "ext4"])
    client.succeed("systemd-run -q --unit=commits bash /root/commits")
    commits_go_on()
    wait_equal(alpha, beta)

with subtest("the engine is killed, and then upgraded, under load: a pause, no error, nothing moves"):
    pid = alpha.get_unit_property("db.service", "MainPID")
    for how in ("systemctl kill -s KILL hotspare-replicate@data", "systemctl restart hotspare-replicate@data"):
        alpha.succeed(how)
        commits_go_on()
    t.assertEqual(alpha.get_unit_property("db.service", "MainPID"), pid)
    alpha.fail("journalctl -k -o cat | grep -E 'I/O error|EXT4-fs (error|warning)'")
    wait_equal(alpha, beta)

with subtest("the role is handed over: unmounted here, mounted there"):
    alpha.succeed("hotspare switchover")
    leads(beta)
    alpha.fail("findmnt /srv/data")
    alpha.fail("test -e /dev/hotspare/data")
    nothing_is_lost(beta, commits_go_on())
    wait_equal(beta, alpha)

with subtest("the primary loses its power"):
    commits_go_on()
    beta.crash()
    leads(alpha)
    nothing_is_lost(alpha, commits_go_on())

with subtest("the standby comes back, and loses its power while it is made equal"):
    beta.start()
    beta.wait_for_unit("hotspare-replicate@data.service", timeout=180)
    commits_go_on()
    beta.crash()
    nothing_is_lost(alpha, commits_go_on())
    beta.start()
    wait_equal(alpha, beta)

with subtest("the primary is cut off under load: its writers get an error, it is unmounted, no reboot, and it is standby again"):
    boot = alpha.succeed("cat /proc/sys/kernel/random/boot_id")
    commits_go_on()
    alpha.block()
    leads(beta)
    nothing_is_lost(beta, commits_go_on())
    alpha.wait_until_fails("findmnt /srv/data || systemctl is-active db.service hotspare-volume@data.service", timeout=120)
    alpha.unblock()
    wait_equal(beta, alpha)
    t.assertEqual(alpha.succeed("cat /proc/sys/kernel/random/boot_id"), boot)
    alpha.require_unit_state("cluster-standby.target")

with subtest("both lose their power at once"):
    before = commits_go_on()
    alpha.crash()
    beta.crash()
    alpha.start()
    beta.start()
    alpha.wait_until_succeeds("hotspare status | grep -E 'primary: leads|stands by for beta'", timeout=180)
    after = commits_go_on(300)
    leader = alpha if alpha.run("systemctl is-active cluster-up.service", 20)[0] == 0 else beta
    nothing_is_lost(leader, max(before, after))

with subtest("the backing is read without anything of ours"):
    client.succeed("systemctl stop commits")
    number = acknowledged()
    for node in (alpha, beta):
        node.succeed("systemctl stop hotspare-leased; systemctl stop cluster-lease.service cluster-primary.target || true")
    for node in (alpha, beta):
        node.wait_until_fails("systemctl is-active cluster-lease.service hotspare-volume@data.service", timeout=120)
        node.succeed("systemctl stop hotspare-replicate@data")
        node.succeed("mkdir -p /mnt/look; mount -o ro,noload /dev/vdb /mnt/look; test -s /mnt/look/db/PG_VERSION; umount /mnt/look")
