"""Scenarios in which the node that leads is a virtual machine and all others are containers: how they begin, and who answered all the while."""

from __future__ import annotations

SLOW = 180  # an emulated processor


def machine_leads(leader, other, witness, client) -> None:
    """`leader` leads, `other` is ready, and `client` notes who answers from now on."""
    for node in (witness, client, leader):
        node.start()
    leader.wait_for_unit("hotspare-leased.service", timeout=SLOW)  # a container is up long before: it would lead
    other.start()
    leader.wait_for_unit("cluster-up.service", timeout=SLOW)
    other.wait_until_succeeds(f"hotspare status --json | jq -e '.groups[0].candidates[] | select(.name == \"{other.name}\").ready'", timeout=SLOW)
    client.wait_until_succeeds(f"curl -sf --max-time 1 http://vip/who | grep -x {leader.name}", timeout=SLOW)
    client.copy_text("/root/ask", "#!/bin/bash\nwhile :; do curl -sf --max-time 2 http://vip/who; done >> /tmp/who\n")
    client.succeed("systemd-run -q --unit=watcher bash /root/ask")


def turns(client, last) -> list[str]:
    """Who answered, one after the other, until `last` did: a role that is up was not asked yet."""
    client.wait_until_succeeds(f"tail -n 1 /tmp/who | grep -x {last.name}", timeout=SLOW)
    client.succeed("systemctl stop watcher")
    return client.succeed("uniq /tmp/who").split()
