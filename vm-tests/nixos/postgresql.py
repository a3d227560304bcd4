# PostgreSQL of NixOS on a volume: what was committed before the power cut is there after it, on the other machine.
start_all()
alpha.wait_for_unit("hotspare-leased.service")
beta.wait_for_unit("hotspare-leased.service")
alpha.succeed("hotspare-replicate create data --first --format ext4")
beta.succeed("hotspare-replicate create data")
for machine in (alpha, beta):
    machine.succeed("systemctl reset-failed; systemctl restart hotspare-replicate@data")

with subtest("it starts on the volume"):
    alpha.wait_for_unit("postgresql.service")
    alpha.succeed("mountpoint /var/lib/postgresql")
    alpha.wait_until_succeeds("sudo -u postgres psql -c 'create table kept (n int)'")
    alpha.wait_until_succeeds("hotspare-replicate status data --json | jq -e '[.copies[] | select(.joined and .counts)] | length == 2'")
    alpha.succeed("sudo -u postgres psql -c 'insert into kept select generate_series(1, 1000)'")

with subtest("power cut: every committed row is on the other machine"):
    alpha.crash()
    beta.wait_for_unit("postgresql.service")
    t.assertEqual(beta.wait_until_succeeds("sudo -u postgres psql -Atc 'select count(*) from kept'").strip(), "1000")
