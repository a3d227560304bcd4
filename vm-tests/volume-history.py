# What clients are told about data on a volume is what one register would have told them, whichever node answers: handed over, killed, without
# power, cut off, frozen, while it waits for a standby that is gone (decision 0037). The same checker refuses the same history with one answer changed.
# lab-config: volume "data" { backing "/var/lib/data.img"; frontend "socket"; }; unit "register.service"
from volumes import REGISTER, make_copies, registers_are_linearizable, wait_equal, watch_registers

make_copies(alpha, beta, user="register", unit=REGISTER)
start_all()
alpha.wait_for_unit("cluster-up.service")
wait_equal(alpha, beta)
watch_registers(client)

with subtest("handed over"):
    alpha.succeed("hotspare switchover")
    beta.wait_for_unit("cluster-up.service")
    wait_equal(beta, alpha)

with subtest("the engine and the service are killed"):
    beta.succeed("systemctl kill -s KILL hotspare-replicate@data; systemctl kill -s KILL register")
    beta.wait_for_unit("register.service")
    wait_equal(beta, alpha)

with subtest("the engine alone is killed, again and again: several clients of the export had writes to one block under way each time"):
    for _ in range(10):
        beta.succeed("systemctl kill -s KILL hotspare-replicate@data")
        wait_equal(beta, alpha)

with subtest("the primary loses its power"):
    beta.crash()
    alpha.wait_for_unit("cluster-up.service")
    beta.start()
    wait_equal(alpha, beta)

with subtest("the primary is cut off, and answers nobody"):
    alpha.block()
    beta.wait_for_unit("cluster-up.service")
    alpha.unblock()
    wait_equal(beta, alpha)

with subtest("the primary stands still, and wakes up when another one leads"):
    beta.freeze()
    alpha.wait_for_unit("cluster-up.service")
    beta.thaw()
    wait_equal(alpha, beta)

with subtest("the standby is cut off, and the primary loses its power while it waits for it: what only its disk has nobody was told"):
    beta.block()
    alpha.wait_until_succeeds("journalctl -b -o cat -u hotspare-replicate@data | grep 'waits for the copy on beta'")
    alpha.crash()
    beta.unblock()
    beta.wait_for_unit("cluster-up.service")
    alpha.start()
    wait_equal(beta, alpha)

with subtest("one order explains what all clients were told"):
    log.info(registers_are_linearizable(client))

with subtest("and none explains it when one answer is another one"):
    # The last read of the register that was written to most: what was there once is there again.
    client.succeed("""jq -c -s '(map(select(.op == "write" and .to != null)) | group_by(.key) | max_by(length)) as $writes
        | (map(.key == $writes[0].key and .op == "read") | rindex(true)) as $last | .[$last].value = $writes[1].value | .[]' /tmp/registers > /tmp/wrong""")
    assert "NOT linearizable" in client.fail("lab-history /tmp/wrong")
