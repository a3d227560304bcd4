# The toolkit, as nixpkgs would take it. The output `arbiter` is all that a machine needs that only votes.
{
  lib,
  rustPlatform,
  # The programs that scenarios in vm-tests/ use, too.
  withLab ? false,
}:
let
  programs = [
    "hotspare"
    "hotspare-arbiter"
    "hotspare-fence"
    "hotspare-gate"
    "hotspare-generator"
    "hotspare-heartbeat"
    "hotspare-lease"
    "hotspare-leased"
    "hotspare-probe"
    "hotspare-replicate"
    "vip-claim"
  ];
  packages = programs ++ lib.optional withLab "hotspare-tests";
in
rustPlatform.buildRustPackage {
  pname = "hotspare";
  version = (lib.importTOML ../Cargo.toml).workspace.package.version;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../bins
      ../crates
      ../docs
      ../kdl-examples
      ../tests
      ../units
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;
  cargoBuildFlags = lib.concatMap (name: [
    "-p"
    name
  ]) packages;

  outputs = [
    "out"
    "arbiter"
    "man"
    "doc"
  ];
  # Where the units that the generator makes find their programs.
  env.HOTSPARE_BINDIR = "${placeholder "out"}/bin";

  # What needs no bus, no root and no network; the rest runs in virtual machines (checks of the flake).
  cargoTestFlags =
    lib.concatMap
      (name: [
        "-p"
        name
      ])
      (
        map (name: "hotspare-${name}") [
          "core"
          "config"
          "volume"
          "wire"
        ]
      );

  postInstall = ''
    mv $out/bin built
    FROM=built PREFIX=$out DESTDIR= PROGRAMS="${toString programs}" sh units/install.sh
    ${lib.optionalString withLab "install -m 755 -t $out/bin built/lab-*"}
    install -D -m 755 -t $arbiter/bin built/hotspare built/hotspare-arbiter
    install -D -m 644 -t $arbiter/lib/systemd/system units/system/hotspare-arbiter.service units/system/hotspare.slice
    substituteInPlace $arbiter/lib/systemd/system/hotspare-arbiter.service --replace-fail @BINDIR@ $arbiter/bin
  '';

  meta = {
    description = "Minimal high-availability cluster toolkit for systemd: leases, roles as targets, addresses, replicated volumes";
    license = [
      lib.licenses.mit
      lib.licenses.asl20
    ];
    platforms = lib.platforms.linux;
    mainProgram = "hotspare";
  };
}
