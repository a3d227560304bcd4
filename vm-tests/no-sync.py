# Renewals are free: while a lease is renewed, again and again, no arbiter syncs anything to its disk. A change of holder does.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
alpha.wait_until_succeeds("hotspare status | grep 'votes       alpha, beta, witness (quorum)'")
# A voter that was away when the holder was recorded is brought in line later, and syncs that once.
for node in (alpha, witness):
    node.wait_until_succeeds("journalctl -b -o cat -u hotspare-arbiter | grep 'default: recorded alpha as holder in epoch 1'")
for node in (alpha, witness):
    node.succeed("systemd-run -q --unit=trace sh -c 'exec strace -f -qq -o /run/trace -e trace=fsync,fdatasync,sync_file_range,syncfs,recvfrom,recvmsg -p $(systemctl show -p MainPID --value hotspare-arbiter)'")

with subtest("a hundred datagrams later nothing was synced"):
    for node in (alpha, witness):
        node.wait_until_succeeds("test $(grep -c 'recv' /run/trace) -gt 100")
        t.assertEqual(node.execute("grep -c sync /run/trace")[1].strip(), "0")

with subtest("a change of holder is synced before it is answered"):
    alpha.succeed("hotspare switchover")
    for node in (alpha, witness):
        node.wait_until_succeeds("grep 'fdatasync' /run/trace")
