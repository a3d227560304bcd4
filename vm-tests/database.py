"""PostgreSQL on ext4 on the volume `data`, and a client that commits one row after the other and knows how far it was answered."""

from __future__ import annotations

import volumes

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
INITDB = "/usr/lib/postgresql/17/bin/initdb -D /srv/new/db -A trust && echo host all all 192.0.2.0/24 trust >> /srv/new/db/pg_hba.conf"
SLOW = 180  # an emulated processor


class Database:
    """The database of a cluster of virtual machines, seen from `client`."""

    def __init__(self, client, first, *others) -> None:
        """`first` has the data: a file system with an empty database on its disk, before anything runs."""
        self.client, self.nodes = client, (first, *others)
        first.fill_data(f"install -d -o postgres /srv/new && su postgres -c '{INITDB}'", "/srv/new")

    def begin(self, log: str = "") -> None:
        """All machines run. The disk becomes a volume, and the client commits from now on. `log`: a disk of `first` for the database's log,
        which becomes the volume `log`."""
        names = ["data", *(["log"] if log else [])]
        services = " ".join(f"hotspare-replicate@{name}" for name in names)
        for node in self.nodes:
            node.copy_text("/etc/systemd/system/db.service", DB)
            node.succeed(f"systemctl daemon-reload; systemctl stop {services}")
        self.client.copy_text("/root/commits", COMMITS)
        self.client.succeed("touch /var/lib/acknowledged")
        first, *others = self.nodes
        if log:
            first.succeed("hotspare-replicate create log --first --format ext4")
            first.succeed(f"mkdir /tmp/data /tmp/log; mount /dev/vdb /tmp/data; mount {log} /tmp/log; rmdir /tmp/log/lost+found; mv /tmp/data/db/pg_wal/* /tmp/log; chown postgres: /tmp/log; chmod 700 /tmp/log; umount /tmp/data /tmp/log")
        first.succeed("hotspare-replicate create data --first")
        for node in others:
            node.succeed("; ".join(f"hotspare-replicate create {name}" for name in names))
        for node in self.nodes:
            node.succeed(f"systemctl reset-failed; systemctl start {services}")
        leads(first)
        self.client.succeed("systemd-run -q --unit=commits bash /root/commits")
        self.commits_go_on()

    def acknowledged(self) -> int:
        return int(self.client.succeed("tail -n 1 /var/lib/acknowledged | grep . || echo 0"))

    def commits_go_on(self, timeout: int = 120, many: int = 20) -> int:
        """So many more are acknowledged; how many there were before."""
        before = self.acknowledged()
        self.client.wait_until_succeeds(f"test $(tail -n 1 /var/lib/acknowledged | grep . || echo 0) -gt {before + many}", timeout=timeout)
        return before

    def nothing_is_lost(self, node, number: int) -> None:
        """All of 1 to `number` were acknowledged: they are in the table."""
        found = int(node.succeed(f"psql -h localhost -U postgres -d postgres -At -c 'select count(*) from t where n <= {number}'"))
        node.log_.info(f"{number} commits were acknowledged, {found} of them are there")
        assert found == number, f"{number} commits were acknowledged, {found} of them are on {node.name}"


def wait_equal(node, other, volume: str = "data") -> None:
    volumes.wait_equal(node, other, timeout=SLOW, volume=volume)


def who_leads(one, other) -> tuple:
    """Of two machines, one of which has the role: that one, and the other."""
    return (one, other) if one.run("systemctl is-active cluster-up.service", 30)[0] == 0 else (other, one)


def leads(node) -> None:
    node.wait_for_unit("cluster-up.service", timeout=SLOW)
