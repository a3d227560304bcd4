# The primary is cut off for a moment. A cut that ends before 8/12 of the lease changes nothing at all; one that ends between
# 8/12 and 9/12 takes the addresses off and puts them back, and restarts nothing.
# lab-config: outage-budget "13s"
import json

start_all()
alpha.wait_for_unit("cluster-primary.target", timeout=60)
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
pids = {unit: alpha.get_unit_property(unit, "MainPID") for unit in ("nginx.service", "cluster-lease.service", "cluster-address-1.service")}
BEGIN_STOP, RESUMED, KILL = "c85e887e82f9459d820c4a475cf79f49", "b80ac1de929a41270f2ee7697f851687", "888e259efb18a580161484c113c60d5a"


def told(message_id):
    return int(alpha.succeed(f"journalctl -o cat --no-pager MESSAGE_ID={message_id} | grep -c . || true"))


def left():
    groups = json.loads(alpha.succeed("hotspare status --json"))["groups"]
    return next(group["left_ms"] for group in groups if group["name"] == "default")


def unchanged():
    for unit, pid in pids.items():
        t.assertEqual(alpha.get_unit_property(unit, "MainPID"), pid, unit)
    assert "leads       alpha (epoch 1" in alpha.succeed("hotspare status")
    t.assertEqual(told(KILL), 0)


with subtest("shorter than 8/12: renewals are missed, and nothing happens"):
    alpha.block()
    while left() > 5500:  # of 10.7 s that it believes in; 8/12 are over when 2.8 s are left
        pass
    alpha.unblock()
    while left() < 8000:
        pass
    t.assertEqual(told(BEGIN_STOP), 0)
    unchanged()

with subtest("between 8/12 and 9/12: the addresses go and come back, nothing is restarted"):
    alpha.block()
    alpha.wait_until_succeeds(f"journalctl -o cat --no-pager MESSAGE_ID={BEGIN_STOP} | grep .")
    alpha.unblock()
    alpha.wait_until_succeeds(f"journalctl -o cat --no-pager MESSAGE_ID={RESUMED} | grep .")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "alpha")
    unchanged()
