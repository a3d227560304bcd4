# The NixOS module: it writes the configuration file, and starts the daemons that this node needs. The units of the roles are made
# from that file by hotspare-generator, on NixOS as everywhere.
{
  config,
  lib,
  pkgs,
  options,
  ...
}:
let
  cfg = config.services.hotspare;
  inherit (lib) mkIf mkMerge;
  me = config.networking.hostName;

  arbiterPackage = cfg.package.arbiter or cfg.package;

  # A file with a mistake fails the build, with the words of the programs themselves.
  checked =
    name: attributes:
    pkgs.runCommand "${name}.kdl" attributes ''
      ${lib.getExe' arbiterPackage "hotspare"} check "$textPath"
      cp "$textPath" $out
    '';
  ofText =
    text:
    checked "cluster" {
      inherit text;
      passAsFile = [ "text" ];
    };
  ofFile = name: file: checked name { textPath = file; };
  file = if typed then ofText cfg.configText else ofFile "cluster" cfg.configFile;
  clusters = lib.mapAttrs ofFile cfg.arbiter.clusters;

  # Where only the file says who is who, every daemon is started: one that has nothing to do says so and waits.
  voters = if cfg.voters == null then lib.attrNames cfg.nodes else cfg.voters;
  typed = cfg.configFile == null;
  votes = !typed || lib.elem me voters;
  mine = lib.filterAttrs (_: group: lib.elem me group.candidates) cfg.groups;
  leads = !typed || mine != { };
  unitsOf = role: lib.concatMap (group: group.${role}) (lib.attrValues mine);
  allVolumes = lib.concatMap (group: lib.attrNames group.volumes) (lib.attrValues cfg.groups);
  volumes = lib.concatMap (group: lib.attrNames group.volumes) (lib.attrValues mine);
  mounts = lib.concatMap (
    group:
    lib.filter (mount: mount != null) (
      map (disk: disk.mount) (lib.attrValues group.volumes ++ group.shared)
    )
  ) (lib.attrValues mine);

  credentials = [
    "node.key:${cfg.keyFile}"
  ]
  ++ lib.optional (cfg.secretFile != null) "cluster.secret:${cfg.secretFile}";
  daemon = wantedBy: {
    inherit wantedBy;
    overrideStrategy = "asDropin"; # the unit is the package's
    restartTriggers = [ file ];
    stopIfChanged = false; # down for a moment, not for a whole activation
    serviceConfig.LoadCredential = [ "" ] ++ credentials;
  };

  # A unit of a role is started by its target alone.
  nobodyElse =
    suffix:
    lib.listToAttrs (
      map (unit: lib.nameValuePair (lib.removeSuffix ".${suffix}" unit) { wantedBy = lib.mkForce [ ]; }) (
        lib.filter (unit: lib.hasSuffix ".${suffix}" unit && !(lib.hasInfix "@" unit)) (
          unitsOf "services" ++ unitsOf "standbyServices"
        )
      )
    );

  ports = {
    allowedUDPPorts = [
      cfg.port
      (cfg.port + 1)
      (cfg.port + 2)
    ];
    allowedTCPPorts = lib.imap0 (n: _: cfg.port + 3 + n) allVolumes;
  };

  # Written out, because the names of what is defined must not depend on what is configured.
  openOn =
    { allowedUDPPorts, allowedTCPPorts }:
    {
      allowedUDPPorts = mkIf (cfg.firewallInterfaces == [ ]) allowedUDPPorts;
      allowedTCPPorts = mkIf (cfg.firewallInterfaces == [ ]) allowedTCPPorts;
      interfaces = lib.genAttrs cfg.firewallInterfaces (_: {
        inherit allowedUDPPorts allowedTCPPorts;
      });
    };
in
{
  imports = [
    ./options.nix
    ./assertions.nix
  ];

  config = mkMerge [
    { services.hotspare.configText = import ./kdl.nix (import ./cluster.nix cfg); }

    (mkIf (cfg.enable || cfg.arbiter.enable) {
      environment.etc = lib.mapAttrs' (
        name: source: lib.nameValuePair "hotspare/clusters.d/${name}.kdl" { inherit source; }
      ) clusters;
      systemd.services.hotspare-arbiter =
        daemon (lib.optional (votes || cfg.arbiter.enable) "multi-user.target")
        // {
          restartTriggers = lib.optional cfg.enable file ++ lib.attrValues clusters;
        };
    })

    (mkIf cfg.arbiter.enable {
      environment.systemPackages = [ arbiterPackage ];
      systemd.packages = [ arbiterPackage ];
      # A witness may be there before the clusters that it is for.
      systemd.services.hotspare-arbiter.unitConfig.ConditionPathExistsGlob = [
        "|/etc/hotspare/cluster.kdl"
        "|/etc/hotspare/clusters.d/*.kdl"
      ];
      networking.firewall = mkIf cfg.openFirewall (openOn {
        allowedUDPPorts = [ (cfg.port + 1) ];
        allowedTCPPorts = [ ];
      });
    })

    (mkIf cfg.enable {
      environment.etc."hotspare/cluster.kdl".source = file;
      environment.systemPackages = [ cfg.package ];
      services.dbus.packages = [ cfg.package ];
      services.udev.packages = [ cfg.package ];
      systemd.packages = [ cfg.package ];
      systemd.generators.hotspare-generator = "${cfg.package}/lib/systemd/system-generators/hotspare-generator";

      users.users.hotspare = {
        isSystemUser = true;
        group = "hotspare";
        description = "hotspare lease client and heartbeat";
      };
      users.groups.hotspare = { };

      systemd.services = mkMerge [
        (nobodyElse "service")
        { hotspare-heartbeat = daemon [ "multi-user.target" ]; }
        { hotspare-leased = daemon (lib.optional leads "multi-user.target"); }
        (lib.listToAttrs (
          # Started by the lease client; here they learn of a new file, a new program and the key.
          map (name: lib.nameValuePair "hotspare-replicate@${name}" (daemon [ ])) volumes
        ))
      ];
      systemd.targets = nobodyElse "target";
      systemd.sockets = nobodyElse "socket";
      systemd.timers = nobodyElse "timer";
      systemd.paths = nobodyElse "path";

      # The device of a volume, and what is on it; the directory may be new.
      boot.kernelModules = lib.optionals (volumes != [ ]) [
        "nbd"
        "ublk_drv"
      ];
      boot.supportedFilesystems = lib.unique (map (mount: mount.fsType) mounts);
      systemd.tmpfiles.rules = map (mount: "d ${mount.path} 0755 root root -") mounts;

      networking.firewall = mkIf cfg.openFirewall (openOn ports);
    })

    # nixos-rebuild switch asks before it touches anything; NIXOS_NO_CHECK=1 goes on all the same.
    (lib.optionalAttrs (options.system ? preSwitchChecks) {
      system.preSwitchChecks = mkIf cfg.enable {
        hotspare = ''
          new="$1/etc/hotspare/cluster.kdl"
          if [ -e "$new" ]; then
            ${lib.getExe' cfg.package "hotspare"} apply --dry-run --file "$new"
          fi
        '';
      };
    })
  ];
}
