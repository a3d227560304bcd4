# The menu. `make demo` and `make test` need nothing but a Debian machine with root and Rust; each installs what it lacks.
.PHONY: labtools vmtools nixtools help demo test unit nix sim simvolume faults mutants fuzz model torture lab vm bench benchvolume check fix build install tools
SHELL := /bin/bash
PREFIX ?= /usr
PROGRAMS := hotspare hotspare-arbiter hotspare-fence hotspare-gate hotspare-generator hotspare-heartbeat hotspare-lease hotspare-leased hotspare-probe hotspare-replicate vip-claim

help:    ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12
demo: labtools  ## watch three nodes lose one: `make demo`, `make demo SHELL_IN=alpha` leaves it up with a prompt
	@vm-tests/run --demo $(if $(SHELL_IN),--shell $(SHELL_IN))
test: check unit nix sim lab  ## everything that CI runs (make vm takes too long for that)
unit: tools  ## unit, golden and command-line tests
	cargo nextest run --workspace
nix: nixtools ## the .nix files: syntax, format, dead code; with NIXPKGS_LIB=FOLDER also module, tests and flake
	@tests/nixos/check
sim:     ## the simulators: TIME=180 (seconds, and a quarter of it for volumes), or SEED=7 PROFILE=heavy-loss for the story of one run
	cargo run -q --profile sim -p hotspare-tests --bin hotspare-sim -- $(if $(SEED),--seed $(SEED),--seconds $(or $(TIME),180)) $(if $(PROFILE),--profile $(PROFILE))
	$(if $(SEED)$(PROFILE),,@$(MAKE) --no-print-directory simvolume TIME=$$(( $(or $(TIME),180) / 4 )))
simvolume: ## the simulator of volumes alone: TIME=45, or SEED=7 PROFILE=storm
	cargo run -q --profile sim -p hotspare-volume-sim -- $(if $(SEED),--seed $(SEED),--seconds $(or $(TIME),45)) $(if $(PROFILE),--profile $(PROFILE))
faults:  ## takes the rules out one at a time: does the simulator notice? FAULT=NoQuarantine for one; writes docs/faults.md
	cargo run -q --profile sim -p hotspare-tests --features faults --target-dir target/faults --bin hotspare-sim -- --faults $(or $(FAULT),--table docs/faults.md)
	cargo run -q --profile sim -p hotspare-volume-sim --features faults --target-dir target/faults -- --faults --table docs/faults-volume.md
mutants: tools  ## changes the rules line by line: does a test or the simulator notice? Hours; SHARD=0/8 for an eighth
	command -v cargo-mutants >/dev/null || cargo install -q --locked cargo-mutants
	cargo mutants -p hotspare-core --test-package hotspare-core,hotspare-tests --timeout 300 --output target $(if $(SHARD),--shard $(SHARD))
fuzz:    ## TIME=600 (seconds for each target), TARGET=wire; needs cargo-fuzz and a nightly compiler
	for target in $(or $(TARGET),wire volume session register kdl control); do mkdir -p target/fuzz/$$target && \
	cargo +nightly fuzz run --fuzz-dir tests/fuzz -s none $$target target/fuzz/$$target tests/fuzz/corpus/$$target -- \
	-max_total_time=$(or $(TIME),600) -rss_limit_mb=2048 -malloc_limit_mb=64 || exit 1; done
lab: labtools  ## all scenarios on real systemd; NAME=power-cut for one, RUNS=20 for many
	vm-tests/run $(if $(RUNS),--runs $(RUNS)) $(NAME)
torture: labtools  ## random faults on the nspawn cluster: MINUTES=30 SEED=7
	vm-tests/run --torture $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))
bench: labtools  ## outages seen by a client, next to keepalived in the same run, on a quiet machine: RUNS=20
	vm-tests/run --bench --runs $(or $(RUNS),20)
benchvolume: vmtools ## a volume beside a resync, next to QEMU's storage daemon here, and next to DRBD 8.4 on the same two virtual machines: ratios
	vm-tests/run bench-volume-host bench-resync bench-volume
model:   ## every state of register, lease, parking, hand-over and of the copies at small bounds
	cargo run -q --profile sim -p hotspare-model
vm: vmtools ## scenarios on virtual machines with kernels of their own (emulated): NAME=vm-database for one, RUNS=20 for many
	vm-tests/run --vm $(if $(RUNS),--runs $(RUNS)) $(NAME)
check: tools  ## reads only: format, lints, tidy, licences
	cargo fmt --all --check
	cargo clippy -q --workspace --all-targets -- -D warnings
	cargo run -q -p hotspare-xtask -- tidy
	cargo deny --log-level error check licenses bans sources
fix:     ## writes: format, man pages, completions
	cargo fmt --all
	cargo run -q -p hotspare-xtask -- docs
build:   ## release binaries
	cargo build --release --workspace
tools:   ## what the other targets need on Debian
	@vm-tests/tools.sh
labtools:
	@vm-tests/tools.sh lab
nixtools:
	@vm-tests/tools.sh nix
vmtools:
	@vm-tests/tools.sh vm
install: ## DESTDIR=... PREFIX=/usr: binaries, units, generator, catalog, man pages, completions, D-Bus policy
	@PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) PROGRAMS="$(PROGRAMS)" units/install.sh
