# From the options to the nodes of the KDL file, one line each; what they mean is in docs/configuration.md. Builtins only.
cfg:
let
  inherit (builtins) attrNames concatMap;

  node = name: arguments: properties: children: {
    inherit
      name
      arguments
      properties
      children
      ;
  };
  line = name: value: if value == null then [ ] else [ (node name [ value ] { } [ ]) ];
  list = name: values: if values == null then [ ] else [ (node name values { } [ ]) ];
  each = name: map (value: node name [ value ] { } [ ]);
  named = make: set: map (name: make name set.${name}) (attrNames set);

  fence =
    it:
    let
      words =
        if it.pill then
          [ "pill" ]
        else if it.agent != null then
          [
            "agent"
            it.agent
          ]
        else
          [ "run" ] ++ it.run;
      pairs = kind: named (key: value: node kind [ key value ] { } [ ]);
    in
    node "fence" words { inherit (it) level timeout; } (
      pairs "option" it.options ++ pairs "secret" it.secrets
    );

  machine =
    name: it: node "node" [ name ] { inherit (it) key; } (each "link" it.links ++ map fence it.fence);

  probe =
    what: it:
    let
      words =
        concatMap (kind: if (it.${kind} or null) == null then [ ] else [ kind ] ++ wordsOf it.${kind})
          [
            "ping"
            "http"
            "tcp"
            "exec"
          ];
      wordsOf = what: if builtins.isList what then what else [ what ];
    in
    node what words {
      inherit (it)
        interval
        timeout
        rise
        fall
        ;
      user = it.user or null;
    } [ ];

  mount =
    it:
    if it == null then
      [ ]
    else
      [
        (node "mount" [ it.path ] {
          type = it.fsType;
          options = if it.options == [ ] then null else builtins.concatStringsSep "," it.options;
        } [ ])
      ];

  shared = it: node "shared" [ it.device ] { } (mount it.mount);

  volume =
    name: it:
    node "volume" [ name ] { } (
      (
        if it.backing == null then
          [ ]
        else
          [ (node "backing" [ it.backing ] { inherit (it) metadata; } [ ]) ]
      )
      ++ named (
        on: path:
        node "backing" [ path ] {
          node = on;
          inherit (it) metadata;
        } [ ]
      ) it.backings
      ++ line "frontend" it.frontend
      ++ (
        if it.asynchronous.nodes == [ ] then
          [ ]
        else
          [
            (node "asynchronous" it.asynchronous.nodes {
              inherit (it.asynchronous) lag;
              lag-bytes = it.asynchronous.lagBytes;
            } [ ])
          ]
      )
      ++ mount it.mount
    );

  address = it: node "address" [ it.address ] { inherit (it) interface; } [ ];

  group =
    name: it:
    node "group" [ name ] { } (
      list "candidates" it.candidates
      ++ line "outage-budget" it.outageBudget
      ++ line "failback" it.failback
      ++ line "boot-grace" it.bootGrace
      ++ line "hold-down" it.holdDown
      ++ line "moves-per-hour" it.movesPerHour
      ++ list "proof" it.proof
      ++ named volume it.volumes
      ++ map shared it.shared
      ++ each "unit" it.services
      ++ map (probe "probe") it.probes
      ++ map (probe "uplink") it.uplinks
      ++ each "standby-unit" it.standbyServices
      ++ map address it.addresses
    );

  beat = {
    inherit (cfg.heartbeat) interval late dead;
    boot-grace = cfg.heartbeat.bootGrace;
  };
in
[ (node "cluster" [ cfg.cluster ] { inherit (cfg) port; } [ ]) ]
++ named machine cfg.nodes
++ list "voters" cfg.voters
++ (
  if cfg.heartbeat.disk == null && builtins.all (key: beat.${key} == null) (attrNames beat) then
    [ ]
  else
    [ (node "heartbeat" [ ] beat (line "disk" cfg.heartbeat.disk)) ]
)
++ named group cfg.groups
++ cfg.settings
