# Somebody starts a unit of the role while the role is being stopped: a cron job, a package script, an impatient person.
# The stop is not undone: the standby's own units wait until everything of the primary has stopped, and the role moves.
# lab-config: standby-unit "keeper.service"
for node in (alpha, beta):
    node.start()
    node.succeed("mkdir -p /run/systemd/system/nginx.service.d; mkfifo /run/go")
    node.succeed("printf '[Service]\\nExecStop=\\nExecStop=/bin/sh -c \"touch /run/stopping; read go < /run/go\"\\n' > /run/systemd/system/nginx.service.d/slow.conf")
    node.succeed("printf '[Service]\\nExecStart=sleep infinity\\n' > /run/systemd/system/keeper.service")
    node.succeed("systemctl daemon-reload")
start_all()
alpha.wait_for_unit("cluster-primary.target")
beta.wait_until_succeeds("hotspare status --json | grep '\"ready\": true'")

with subtest("the service is started by hand in the middle of its stop"):
    alpha.succeed("systemctl start --no-block cluster-standby.target")
    alpha.wait_for_file("/run/stopping")
    alpha.execute("systemctl start nginx.service")

with subtest("the role moves all the same"):
    beta.wait_for_unit("cluster-primary.target")
    alpha.wait_for_unit("keeper.service")
    alpha.fail("systemctl is-active nginx.service cluster-lease.service")
