# What the types cannot say. Everything else is said by `hotspare check`, when the configuration is built.
{
  config,
  lib,
  ...
}:
let
  cfg = config.services.hotspare;
  at = "services.hotspare";
  host = config.networking.hostName;
  secret = path: what: {
    assertion = path == null || !(lib.hasPrefix builtins.storeDir path);
    message = "${at}.${what} is in the Nix store, where everybody can read it: give the path of a file that is on the machine, as a string.";
  };
  typed = cfg.enable && cfg.configFile == null;
  voters = if cfg.voters == null then lib.attrNames cfg.nodes else cfg.voters;
  # Two that can switch each other off need nobody else.
  pair =
    lib.length voters == 2
    && lib.all (name: lib.any (it: !it.pill) (cfg.nodes.${name} or { fence = [ ]; }).fence) voters;
  overGroups = f: lib.concatLists (lib.mapAttrsToList f cfg.groups);

  ofGroup =
    name: group:
    let
      here = "${at}.groups.${name}";
      strangers = lib.subtractLists (lib.attrNames cfg.nodes) group.candidates;
      mounted = lib.filter (disk: disk.mount != null) (lib.attrValues group.volumes ++ group.shared);
      places = map (disk: disk.mount.path) mounted;
      taken = lib.filter (place: config.fileSystems ? ${place}) places;
      unclear = lib.filter (
        probe:
        lib.count (kind: (probe.${kind} or null) != null) [
          "ping"
          "http"
          "tcp"
          "exec"
        ] != 1
      );
    in
    [
      {
        assertion = strangers == [ ];
        message = "${here}.candidates names ${lib.concatStringsSep ", " strangers}, but ${at}.nodes does not: correct the name or add the node.";
      }
      {
        assertion = taken == [ ];
        message = "${here} mounts ${lib.concatStringsSep ", " taken}, and so does fileSystems, on every node and at boot: remove it there.";
      }
      {
        assertion = unclear group.probes == [ ];
        message = "${here}.probes has an entry that says not exactly one of http, tcp and exec: make one entry for each question.";
      }
      {
        assertion = unclear group.uplinks == [ ];
        message = "${here}.uplinks has an entry that says not exactly one of ping, http, tcp and exec: make one entry for each question.";
      }
    ];

  unclear = lib.filter (
    name:
    lib.any (
      it:
      lib.count (said: said) [
        (it.agent != null)
        (it.run != null)
        it.pill
      ] != 1
    ) cfg.nodes.${name}.fence
  ) (lib.attrNames cfg.nodes);

  units = overGroups (_: group: group.services ++ group.standbyServices);
  twice = lib.filter (unit: lib.count (other: other == unit) units > 1) (lib.unique units);

  # A unit that is nowhere defined would be made here, empty.
  isDefined =
    unit:
    let
      service = config.systemd.services.${lib.removeSuffix ".service" unit} or { };
    in
    !(lib.hasSuffix ".service" unit)
    || service ? serviceConfig.ExecStart
    || service.script or "" != ""
    || lib.hasInfix "@" unit;
  # On a node that never leads the group, its units need not be there.
  hereOnly = lib.concatLists (
    lib.mapAttrsToList (
      _: group: lib.optionals (lib.elem host group.candidates) (group.services ++ group.standbyServices)
    ) cfg.groups
  );
  unknown = lib.filter (unit: !(isDefined unit)) hereOnly;

  socketOf = unit: lib.removeSuffix ".service" unit;
  activated = lib.filter (
    unit:
    lib.hasSuffix ".service" unit
    && config.systemd.sockets ? ${socketOf unit}
    && !(lib.elem "${socketOf unit}.socket" units)
  ) hereOnly;
in
{
  config.assertions = lib.optionals (cfg.enable || cfg.arbiter.enable) (
    [
      (secret cfg.keyFile "keyFile")
      (secret cfg.secretFile "secretFile")
      {
        assertion = !(cfg.enable && cfg.arbiter.enable);
        message = "${at}.arbiter.enable is for a machine that only votes; with ${at}.enable the arbiter runs already where this node votes. Remove one of the two (further clusters to vote in: ${at}.arbiter.clusters).";
      }
    ]
    ++ lib.optionals typed (
      [
        {
          assertion = cfg.nodes ? ${host};
          message = "networking.hostName is \"${host}\", and ${at}.nodes has no such node: the machines are named like their nodes.";
        }
        {
          assertion = cfg.groups != { };
          message = "${at}.groups is empty: say what is to be kept running, as in ${at}.groups.default.services = [ \"nginx.service\" ].";
        }
        {
          assertion = lib.mod (lib.length voters) 2 == 1 || pair;
          message = "${at}.voters: ${toString (lib.length voters)} nodes vote, and half of them is no majority: add a node that only votes, name an odd number of them, or give two of them a fence each.";
        }
        {
          assertion = unclear == [ ];
          message = "${at}.nodes: ${lib.concatStringsSep ", " unclear} has an entry in fence that says not exactly one of agent, run and pill: make one entry for each device.";
        }
        {
          assertion = twice == [ ];
          message = "${at}.groups: ${lib.concatStringsSep ", " twice} is there twice: a unit belongs to one group and one role.";
        }
      ]
      ++ overGroups ofGroup
    )
  );

  config.warnings = lib.optionals typed (
    map (
      unit:
      "${at}.groups names ${unit}, which no module of this configuration defines: it starts only if a package in systemd.packages brings it."
    ) unknown
    ++ map (
      unit:
      "${at}.groups names ${unit}, but not ${socketOf unit}.socket, which would start it on a standby: name the socket too."
    ) activated
    ++
      lib.optional (!cfg.openFirewall && config.networking.firewall.enable)
        "${at}.openFirewall is off and the firewall is on: open UDP ${toString cfg.port} to ${toString (cfg.port + 2)} between the nodes (and a TCP port for each volume after them), or no node hears another."
  );
}
