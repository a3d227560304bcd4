#!/bin/sh
# make install: puts everything where a distribution would. Build first: make build.
set -eu
prefix=${PREFIX:-/usr} dest=${DESTDIR:-} from=${FROM:-target/release}
lib=$dest$prefix/lib
for program in $PROGRAMS; do
    case $program in
    hotspare-generator) install -D -m 755 "$from/$program" "$lib/systemd/system-generators/$program" ;;
    *) install -D -m 755 "$from/$program" "$dest$prefix/bin/$program" ;;
    esac
done
for unit in units/system/*; do
    install -D -m 644 "$unit" "$lib/systemd/system/$(basename "$unit")"
    sed -i "s#@BINDIR@#$prefix/bin#" "$lib/systemd/system/$(basename "$unit")"
done
install -D -m 644 units/udev/61-hotspare.rules "$lib/udev/rules.d/61-hotspare.rules"
install -D -m 644 units/sysusers.d/hotspare.conf "$lib/sysusers.d/hotspare.conf"
install -D -m 644 units/dbus-1/system.d/org.hotspare.conf "$dest$prefix/share/dbus-1/system.d/org.hotspare.conf"
for file in units/dbus-1/interfaces/*.xml; do
    install -D -m 644 "$file" "$dest$prefix/share/dbus-1/interfaces/$(basename "$file")"
done
install -D -m 644 docs/dbus.md "$dest$prefix/share/doc/hotspare/dbus.md"
install -D -m 644 docs/operations.md "$dest$prefix/share/doc/hotspare/operations.md"
install -D -m 644 units/catalog/hotspare.catalog "$lib/systemd/catalog/hotspare.catalog"
for page in docs/man/*.[1-8]; do
    [ -e "$page" ] && install -D -m 644 "$page" "$dest$prefix/share/man/man${page##*.}/$(basename "$page")"
done
for file in docs/completions/*; do
    [ -e "$file" ] || continue
    name=$(basename "$file")
    case $name in
    *.bash) install -D -m 644 "$file" "$dest$prefix/share/bash-completion/completions/${name%.bash}" ;;
    *.fish) install -D -m 644 "$file" "$dest$prefix/share/fish/vendor_completions.d/$name" ;;
    _*) install -D -m 644 "$file" "$dest$prefix/share/zsh/site-functions/$name" ;;
    esac
done
for example in kdl-examples/*.kdl; do
    install -D -m 644 "$example" "$dest$prefix/share/doc/hotspare/examples/$(basename "$example")"
done
