#!/bin/bash
# Installs what the targets need on a Debian machine, once. With `lab` only what the demo and the scenarios need, with `vm` what those on
# virtual machines need, with `nix` what the .nix files need.
set -euo pipefail
need=()
want() { command -v "$1" >/dev/null || need+=("$2"); }
want systemd-nspawn systemd-container
want mmdebstrap mmdebstrap
want ip iproute2
want python3 python3
want cc gcc
want nsenter util-linux
want systemd-analyze systemd
want dbus-daemon dbus
want mkfs.ext4 e2fsprogs
[ "${1:-}" != vm ] || { want qemu-system-x86_64 qemu-system-x86; want fio fio; }
[ "${1:-}" != nix ] || want nix-instantiate nix-bin
if [ ${#need[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || { echo "missing: ${need[*]}; run this as root once, or install them" >&2; exit 77; }
    echo "installing ${need[*]} ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi
# All nodes of a lab are root to the kernel, and share its inotify instances: the default of 128 is too few for a few labs at a time.
if instances=/proc/sys/fs/inotify/max_user_instances; [ "$(id -u)" = 0 ] && [ "$(cat $instances)" -lt 1024 ] && [ -w $instances ]; then
    echo 'fs.inotify.max_user_instances is 1024 from now on, until the next boot'
    echo 1024 > $instances || true
fi
if [ "${1:-}" = nix ]; then
    command -v nixfmt >/dev/null || { echo 'installing nixfmt (once) ...'; cargo install -q --locked nixfmt_rs; }
    command -v deadnix >/dev/null || { echo 'installing deadnix (once) ...'; cargo install -q --locked deadnix; }
fi
[ -n "${1:-}" ] && exit 0
command -v cargo-nextest >/dev/null || { echo 'installing cargo-nextest (once) ...'; cargo install -q --locked cargo-nextest; }
command -v cargo-deny >/dev/null || { echo 'installing cargo-deny (once) ...'; cargo install -q --locked cargo-deny; }
