# The small programs on their own: hotspare-lease as a cluster-wide flock, vip-claim without a cluster, the heartbeat's
# events in a shell script.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_for_unit("cluster-standby.target")

with subtest("a lock is held by one node; the other waits, gives up in time, or gets it afterwards"):
    alpha.succeed("systemd-run -q --unit=holder hotspare-lease hold jobs -- sh -c 'echo $HOTSPARE_EPOCH > /run/epoch; sleep infinity'")
    alpha.wait_for_file("/run/epoch")
    t.assertEqual(alpha.succeed("cat /run/epoch").strip(), "1")
    alpha.succeed("hotspare-lease show jobs | grep 'alpha (this node), epoch 1'")
    beta.wait_until_succeeds("(hotspare-lease show jobs --json || true) | grep '\"holder\":\"alpha\"'")
    status, said = beta.execute("hotspare-lease hold jobs --timeout 1 -- true")
    t.assertEqual(status, 75, said)
    beta.succeed("systemd-run -q --unit=next hotspare-lease hold jobs -- sh -c 'echo $HOTSPARE_EPOCH > /run/epoch; sleep infinity'")
    alpha.succeed("systemctl stop holder")
    beta.wait_for_file("/run/epoch")
    t.assertGreater(int(beta.succeed("cat /run/epoch")), 1)

with subtest("the exit code is the command's"):
    beta.succeed("systemctl stop next")
    status, said = beta.execute("hotspare-lease hold jobs -- sh -c 'exit 3'")
    t.assertEqual(status, 3, said)

with subtest("lost is told from never held, and the whole process tree is dead in time"):
    beta.succeed("systemd-run -q --unit=lost hotspare-lease hold jobs -- sh -c 'setsid sleep 1234 & touch /run/started; wait'")
    beta.wait_for_file("/run/started")
    beta.block()
    beta.wait_until_succeeds("systemctl show -p ExecMainStatus --value lost.service | grep -x 69")
    beta.fail("pgrep -f 'sleep 1234'")
    beta.unblock()

with subtest("a group with units is not for scripts, and only root may"):
    status, said = alpha.execute("hotspare-lease hold default -- true")
    assert status == 75 and "driven by its units" in said, said
    status, said = alpha.execute("setpriv --reuid=hotspare --clear-groups hotspare switchover")
    assert status == 77 and "only root" in said, said

with subtest("vip-claim without a cluster: in use is refused, its own is put back, and removed on the way out"):
    status, said = client.execute("vip-claim 192.0.2.100/24 --interface eth1")
    assert status == 75 and "is in use by" in said, said
    client.succeed("systemd-run -q --unit=vip -p Type=notify vip-claim 192.0.2.77/24 --interface eth1")
    client.succeed("ip -o addr show eth1 | grep 192.0.2.77/24")
    client.succeed("ip addr del 192.0.2.77/24 dev eth1")
    client.wait_until_succeeds("ip -o addr show eth1 | grep 192.0.2.77/24")
    client.succeed("systemctl stop vip")
    client.fail("ip -o addr show eth1 | grep 192.0.2.77")

with subtest("and when it is killed, the kernel removes the address"):
    client.succeed("systemd-run -q --unit=vip2 -p Type=notify vip-claim 192.0.2.78/24 --interface eth1 --lifetime 1")
    client.succeed("systemctl kill -s KILL vip2")
    client.wait_until_fails("ip -o addr show eth1 | grep 192.0.2.78")

with subtest("a rival is heard and answered; an address that somebody removes is put back"):
    client.succeed("vip-claim 192.0.2.100/24 --interface eth1 --no-probe --once --lifetime 1")
    alpha.wait_until_succeeds("journalctl -o cat -u cluster-address-1.service | grep 'also claimed by'")
    alpha.succeed("ip addr del 192.0.2.100/24 dev eth1")
    alpha.wait_until_succeeds("journalctl -o cat -u cluster-address-1.service | grep 'put back'")
    alpha.succeed("ip -o addr show eth1 | grep 192.0.2.100/24")
    client.wait_until_fails("ip -o addr show eth1 | grep 192.0.2.100")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "alpha")
    client.succeed("vip-claim 2001:db8:1::100/64 --interface eth1 --no-probe --once --lifetime 1")
    alpha.wait_until_succeeds("journalctl -o cat -u cluster-address-2.service | grep 'also claimed by'")
    client.wait_until_fails("ip -o addr show eth1 | grep 2001:db8:1::100")

with subtest("what others send over the interface wakes no vip-claim"):
    for number, url in ((1, "http://192.0.2.100/who"), (2, "http://[2001:db8:1::100]/who")):
        switches = f"awk '/voluntary_ctxt/ {{n += $2}} END {{print n}}' /proc/$(systemctl show -p MainPID --value cluster-address-{number})/status"
        before = int(alpha.succeed(switches))
        client.succeed(f"for n in $(seq 50); do curl -sf --max-time 1 '{url}' -o /dev/null; done")  # some ten frames each
        t.assertLess(int(alpha.succeed(switches)) - before, 50)

with subtest("the heartbeat tells a script what it hears"):
    alpha.succeed("systemd-run -q --unit=ears -p StandardOutput=file:/run/heard hotspare-heartbeat listen --json")
    alpha.wait_until_succeeds("grep '\"peer\":\"witness\"' /run/heard")
    witness.crash()
    alpha.wait_until_succeeds("grep '\"peer\":\"witness\"' /run/heard | grep '\"state\":\"dead\"'")
    # The best of its links: the other one may be given up a moment later.
    alpha.wait_until_succeeds("busctl get-property org.hotspare.Heartbeat1 /org/hotspare/Heartbeat1/peer/witness org.hotspare.Heartbeat1 State | grep -x 's \"dead\"'")
    t.assertEqual(alpha.succeed("busctl get-property org.hotspare.Lease1 /org/hotspare/Lease1/group/default org.hotspare.Lease1 Role").strip(), 's "primary"')

with subtest("the journal explains itself"):
    said = alpha.succeed("journalctl --update-catalog; hotspare events -x --group default")
    assert "A majority of the voters granted the lease" in said, said
