# A primary whose processes all stand still for longer than its lease: the other node leads. When it wakes up it kills what
# runs before it does anything else, does not need to reboot for that, and stands by.
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")
boot = alpha.succeed("cat /proc/sys/kernel/random/boot_id")

with subtest("frozen: the other node leads"):
    alpha.freeze()
    beta.wait_until_succeeds("hotspare status --json | grep '\"role\": \"primary\"'")

with subtest("awake again: nothing of the role runs, and it is the same boot"):
    alpha.thaw()
    alpha.wait_for_unit("cluster-standby.target", timeout=15)
    alpha.fail("systemctl is-active nginx.service cluster-lease.service")
    alpha.fail("ip -o addr show to 192.0.2.100 | grep .")
    t.assertEqual(alpha.succeed("cat /proc/sys/kernel/random/boot_id"), boot)
    beta.require_unit_state("cluster-primary.target")
