"""What servers have: a BMC for each machine, which OpenIPMI's simulator plays on another machine. Its power is the lab's power switch."""

from __future__ import annotations

from power import ADDRESS, PASSWORD, PORT

HOST, FIRST_PORT = "192.0.2.3", 6231
SECRET = "sesame"
# What the simulator runs: `get power`, `set power 0`, also several at once.
MACHINE = f"""#!/bin/bash
ask() {{ curl -sf --max-time 5 -H 'Password: {PASSWORD}' "http://{ADDRESS}:{PORT}/$name/$1"; }}
name=$1 what=$2
shift 2
while [ $# -gt 0 ]; do
    case $what,$1 in
    get,power) case $(ask status) in on) echo power:1;; off) echo power:0;; *) exit 1;; esac;;
    get,*) echo "$1:0";;
    set,power) if [ "$2" = 0 ]; then ask off; else ask on; fi > /dev/null || exit 1;;
    esac
    shift; [ $what = get ] || shift
done
"""
BMC = """name "%(name)s"
startlan 1
  addr 0.0.0.0 %(port)d
  priv_limit admin
  allowed_auths_callback none md2 md5 straight
  allowed_auths_user none md2 md5 straight
  allowed_auths_operator none md2 md5 straight
  allowed_auths_admin none md2 md5 straight
  guid a123456789abcdefa123456789abcdef
endlan
chassis_control "/usr/local/sbin/machine %(name)s"
user 1 true "" "" user 10 none md2 md5 straight
user 2 true "admin" "%(secret)s" admin 10 none md2 md5 straight
"""
BOARD = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
"""


def fence_line(name: str, number: int) -> str:
    options = {"ip": HOST, "ipport": FIRST_PORT + number, "lanplus": 1, "username": "admin"}
    text = "".join(f'option "{key}" "{value}"; ' for key, value in options.items())
    return f'fence "agent" "fence_ipmilan" timeout="15s" {{ {text}secret "password" "bmc"; }}'


def plug_in(host, *names: str) -> None:
    """A BMC for each of these machines, on `host`."""
    host.copy_text("/usr/local/sbin/machine", MACHINE)
    host.copy_text("/root/board", BOARD)
    host.succeed("chmod 755 /usr/local/sbin/machine")
    for number, name in enumerate(names):
        host.copy_text(f"/root/{name}.conf", BMC % {"name": name, "port": FIRST_PORT + number, "secret": SECRET})
        host.succeed(f"mkdir -p /root/{name}.state; systemd-run -q --unit=bmc-{name} ipmi_sim -n -c /root/{name}.conf -f /root/board -s /root/{name}.state")
