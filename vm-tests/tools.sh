#!/bin/bash
# Installs what the lab needs on a Debian machine, once. Root only.
set -euo pipefail
need=()
want() { command -v "$1" >/dev/null || need+=("$2"); }
want systemd-nspawn systemd-container
want mmdebstrap mmdebstrap
want ip iproute2
want nft nftables
want python3 python3
want cc gcc
want nsenter util-linux
want mandoc mandoc
if [ ${#need[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || { echo "missing: ${need[*]}; run this as root once, or install them" >&2; exit 77; }
    echo "installing ${need[*]} ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi
command -v cargo-nextest >/dev/null || cargo install -q --locked cargo-nextest
