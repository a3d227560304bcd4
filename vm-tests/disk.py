# A disk that all nodes see is one more link: when no network is left, each of them knows of the other that it lives. And it takes a pill there: a holder
# that nobody hears any more resets itself when it is told to, and its next boot is the proof that its lease is over.
# lab-config: outage-budget "22s"; proof "power-off" "reset"
FILE = "etc/hotspare/cluster.kdl"
DISK = "/srv/beats"
beats = alpha.root.parent.parent / "beats"
beats.write_bytes(bytes(1 << 20))
text = (alpha.root / FILE).read_text().replace('cluster "lab"\n', f'cluster "lab"\nheartbeat {{ disk "{DISK}"; }}\n')
for number in (1, 2):
    text = text.replace(f'link "198.51.100.{number}";', f'link "198.51.100.{number}"; fence "pill";')
for node in (alpha, beta, witness):
    node.binds = [f"{beats}:{DISK}"]
    (node.root / DISK[1:]).parent.mkdir(parents=True, exist_ok=True)
    (node.root / FILE).write_text(text)
start_all()


def hears(node, other, link: str, state: str) -> None:
    node.wait_until_succeeds(f"hotspare-heartbeat listen --once | grep '^{other.name} {link} {state}'", timeout=60)


with subtest("places are made once, and by nobody who would lose something"):
    alpha.wait_until_succeeds("journalctl -o cat -u hotspare-heartbeat | grep 'no heartbeats over the disk: .*nothing was ever written there'")
    alpha.succeed("head -c 64 /dev/urandom > /srv/beats.old; dd if=/srv/beats.old of=/srv/beats conv=notrunc status=none")
    assert "there is something on it" in alpha.fail("hotspare-heartbeat format 2>&1")
    assert "3 places" in alpha.succeed("hotspare-heartbeat format --again")
    assert "already" in beta.fail("hotspare-heartbeat format 2>&1")
    for node in (alpha, beta, witness):
        node.succeed("systemctl restart hotspare-heartbeat")
    for node, other in ((alpha, beta), (beta, alpha), (witness, alpha)):
        hears(node, other, "disk", "alive, hears us")
    alpha.wait_for_unit("cluster-up.service", timeout=60)
    beta.wait_until_succeeds("hotspare status | grep 'beta (ready)'", timeout=60)

with subtest("the standby is cut off from everything: it is known to live, and nothing moves"):
    beta.block()
    hears(alpha, beta, "192.0.2.2", "dead")
    hears(alpha, beta, "198.51.100.2", "dead")
    hears(alpha, beta, "disk", "alive")
    hears(beta, alpha, "disk", "alive")
    t.assertIn("disk", alpha.succeed("busctl get-property org.hotspare.Heartbeat1 /org/hotspare/Heartbeat1/peer/beta org.hotspare.Heartbeat1 Links"))
    beta.unblock()
    beta.wait_until_succeeds("hotspare status | grep 'beta (ready)'", timeout=60)
    t.assertEqual(alpha.get_unit_property("cluster-up.service", "ActiveState"), "active")

with subtest("the devices are tried: it is heard on the disk"):
    t.assertEqual(beta.succeed("hotspare-fence test alpha | grep -c '^ok .* pill: on$'").strip(), "1")

with subtest("the holder is cut off: it takes the pill, resets itself, and its next boot ends its lease"):
    lives = alpha.lives
    alpha.block()
    alpha.wait_for_shutdown(timeout=60)
    alpha.start()
    beta.wait_until_succeeds("journalctl -o cat | grep 'alpha is off, proven by reset (level 1'", timeout=60)
    beta.wait_until_succeeds("journalctl -o cat | grep 'alpha is proven to be off: its lease is over, .* early'")
    # It is back in a second or two, and on the network: whoever asks first leads.
    leader = client.wait_until_succeeds("curl -sf --max-time 1 http://vip/who", timeout=60).strip()
    leader, other = (alpha, beta) if leader == "alpha" else (beta, alpha)
    leader.wait_until_succeeds(f"hotspare status | grep '{other.name} (ready)'", timeout=90)
    t.assertEqual(alpha.lives, lives + 1)

with subtest("one that hangs takes nothing, and a word is not taken for a proof here: its lease is waited for"):
    # The shot before this has the node switched on again, and takes the next order when that is done.
    beta.wait_until_succeeds("systemctl show -P ActiveState hotspare-fence@alpha.service | grep -x inactive", timeout=60)
    cursor = other.succeed("journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p'").strip()
    told = f"journalctl -o cat --after-cursor='{cursor}' | grep"
    leader.freeze()
    other.wait_until_succeeds(f"{told} '{leader.name} is to be switched off'", timeout=60)
    other.succeed(f"hotspare-fence confirm {leader.name} --reason 'somebody told me'")
    other.succeed(f"{told} 'that {leader.name} is off by human is not proof enough'")
    other.wait_until_succeeds(f"{told} '{leader.name} is not proven to be off: .*it writes nothing to the disk'", timeout=90)
    other.wait_for_unit("cluster-up.service", timeout=60)
    other.fail(f"{told} 'its lease is over'")
    leader.thaw()
