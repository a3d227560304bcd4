# A register that is truncated, damaged, from another node or of another version is refused with a clear message, and the other
# voters carry on. A voter that has lost it, or that is a new machine with a new key, joins again by itself; nothing moves.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
alpha.wait_until_succeeds("hotspare status | grep 'votes       alpha, beta, witness (quorum)'")
pid = alpha.get_unit_property("nginx.service", "MainPID")
REGISTER = "/var/lib/hotspare-arbiter/lab/default.register"


def nothing_moved():
    t.assertEqual(alpha.get_unit_property("nginx.service", "MainPID"), pid)
    alpha.succeed("hotspare status | grep 'leads       alpha (epoch 1'")


def refused(damage, message):
    with subtest(f"a register is refused: {message}"):
        witness.succeed("systemctl stop hotspare-arbiter; cp " + REGISTER + " /root/good")
        witness.succeed(damage)
        witness.fail("systemctl start hotspare-arbiter")
        witness.succeed(f"journalctl -o cat --no-pager -u hotspare-arbiter -n 20 | grep '{message}'")
        alpha.wait_until_succeeds("hotspare status | grep 'witness (silent for'")
        nothing_moved()
        witness.succeed("systemctl stop hotspare-arbiter; systemctl reset-failed hotspare-arbiter; cp /root/good " + REGISTER + "; systemctl start hotspare-arbiter")
        alpha.wait_until_succeeds("hotspare status | grep 'votes       alpha, beta, witness (quorum)'")


refused(f"truncate -s 700 {REGISTER}", "its length is wrong")
refused(f"dd if=/dev/zero of={REGISTER} bs=1024 count=1 conv=notrunc status=none", "neither copy in a slot has a true checksum")
witness.succeed("mkdir -p /root/other")
for line in alpha.succeed(f"base64 {REGISTER}").split():
    witness.succeed(f"echo {line} >> /root/other/b64")
refused(f"base64 -d /root/other/b64 > {REGISTER}", "belongs to another node, cluster or group")

with subtest("the machine of the arbiter is replaced: no register, a new key"):
    witness.succeed("systemctl stop hotspare-arbiter; rm -r /var/lib/hotspare-arbiter/lab /run/hotspare-arbiter/*")
    key = witness.succeed("hotspare keygen --force 2>/dev/null").strip()
    for node in (alpha, beta, witness):
        node.succeed(f"sed -i 's|^node \"witness\" key=\"[^\"]*\"|node \"witness\" key=\"{key}\"|' /etc/hotspare/cluster.kdl; hotspare check; hotspare apply")
    witness.succeed("systemctl start hotspare-arbiter")
    nothing_moved()
    witness.succeed("journalctl -o cat --no-pager -u hotspare-arbiter | grep 'default: this voter has no register'")

with subtest("it does not vote before it knows what it may have promised"):
    alpha.wait_until_succeeds("hotspare status | grep 'witness (never heard'")
    witness.wait_until_succeeds("(hotspare doctor || true) | grep 'this one does not vote on default yet: it learns from the others'")
    witness.fail("journalctl -o cat --no-pager MESSAGE_ID=67dadbe21ea342f7b5f63de289087d9e | grep 'the others know of epoch'")

with subtest("then it joins by itself, and nothing moves"):
    witness.wait_until_succeeds("journalctl -o cat --no-pager MESSAGE_ID=67dadbe21ea342f7b5f63de289087d9e HOTSPARE_GROUP=default | grep 'joined as a voter; the others know of epoch 1'", timeout=100)
    alpha.wait_until_succeeds("hotspare status | grep 'votes       alpha, beta, witness (quorum)'")
    nothing_moved()

with subtest("and it is worth a vote: the primary goes on without the standby"):
    beta.crash()
    alpha.wait_until_succeeds("hotspare status | grep 'beta (silent for'")
    nothing_moved()
    beta.start()
    beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
    alpha.crash()
    beta.wait_for_unit("cluster-primary.target")
    t.assertEqual(client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who").strip(), "beta")
