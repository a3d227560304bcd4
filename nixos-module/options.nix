# services.hotspare: the schema of the configuration file as typed options. Defaults of times are those of the programs, so an
# option that is null leaves its line out.
{ lib, pkgs, ... }:
let
  inherit (lib) mkOption types;

  span = types.strMatching "[0-9]+(ms|s|min|h)";
  maybe =
    type: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit description;
    };
  name = types.strMatching "[a-zA-Z0-9][a-zA-Z0-9.-]{0,62}";
  unit = types.strMatching "[a-zA-Z0-9@%:_.\\-]+[.](service|socket|timer|path|target)";
  names = types.listOf name;

  node.options = {
    key = mkOption {
      type = types.strMatching "[A-Za-z0-9+/]{43}=";
      description = "The node's public key, as {command}`hotspare keygen` printed it on that machine.";
      example = "k8TKgT8DfNqaWXhcV8yt8bOBJUFpHCKVIN5rVDVVGHU=";
    };
    links = mkOption {
      type = types.listOf types.str;
      description = "The node's addresses, one on each network that the nodes share, in the same order on all nodes.";
      example = [
        "192.0.2.1"
        "198.51.100.1"
      ];
    };
    fence = mkOption {
      type = types.listOf (types.submodule fence);
      default = [ ];
      description = "How others switch this node off ({command}`hotspare-fence`).";
    };
  };

  fence.options = {
    agent = maybe types.str "A fence agent of the ClusterLabs kind: its name, or its path.";
    run = maybe (types.nonEmptyListOf types.str) "A program and its arguments; it gets `on`, `off` or `status` as its last one.";
    pill = mkOption {
      type = types.bool;
      default = false;
      description = "An order on {option}`services.hotspare.heartbeat.disk`, which the node obeys by resetting itself. Nothing to a node without power: give that another level.";
    };
    level = maybe (types.ints.between 1 9) "All methods of a level must succeed; if they do not, the next one is tried.";
    timeout = maybe span "How long one answer may take.";
    options = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "What the agent is told, by the names of its metadata. No secrets: everybody reads this.";
      example = {
        ip = "203.0.113.5";
      };
    };
    secrets = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "The same, with the names of systemd credentials (files in {file}`/etc/credstore`) that have the values.";
      example = {
        password = "ipmi-alpha";
      };
    };
  };

  address.options = {
    address = mkOption {
      type = types.strMatching "[0-9a-fA-F.:]+/[0-9]+";
      description = "An IPv4 or IPv6 address with its prefix length. It is on the primary, and nowhere else.";
      example = "192.0.2.10/24";
    };
    interface = mkOption {
      type = types.str;
      description = "The interface that gets the address; the same name on every candidate.";
      example = "eth0";
    };
  };

  probe.options = {
    http = maybe types.str "Ask this URL; an answer from 200 to 399 is good.";
    tcp = maybe types.str "Connect to this ADDRESS:PORT.";
    exec = maybe (types.nonEmptyListOf types.str) "Run this program with these arguments; exit status 0 is good.";
    interval = maybe span "How often to ask.";
    timeout = maybe span "How long to wait for an answer.";
    rise = maybe types.ints.positive "The role counts as up after so many good answers in a row.";
    fall = maybe types.ints.positive "The node gives the role up after so many bad answers in a row.";
    user = maybe types.str "The user that {option}`exec` runs as, if it needs one.";
  };

  uplink.options = {
    ping = maybe types.str "Send an ICMP echo request to this address.";
    inherit (probe.options)
      http
      tcp
      exec
      interval
      timeout
      ;
    rise = maybe types.ints.positive "It counts as reached again after so many good answers in a row.";
    fall = maybe types.ints.positive "It counts as not reached after so many bad answers in a row.";
  };

  volume.options = {
    backing = maybe types.str ''
      The block device or file with this node's copy, on every candidate that has no place of its own in {option}`backings`. Its last few MiB
      hold metadata. Make the copies once with {command}`hotspare-replicate create`.'';
    backings = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "By the name of a node: where its copy is, if elsewhere.";
      example = {
        beta = "/dev/disk/by-label/data";
      };
    };
    metadata = maybe types.str ''
      A file for the metadata of this node's copy, on every candidate. Left out, it is at the end of the backing, which must have room for it.
      The disk must have a serial number or a UUID.'';
    frontend =
      maybe
        (types.enum [
          "ublk"
          "nbd"
          "socket"
        ])
        "Who makes {file}`/dev/hotspare/NAME`: `ublk` or `nbd` of the kernel; left out, ublk where it has all that is needed (Linux 6.16). `socket`: only an NBD export on a UNIX socket.";
    asynchronous = {
      nodes = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "gamma" ];
        description = "Candidates, not the first one, whose copies nobody waits for and that never lead by themselves.";
      };
      lag = maybe span "How long ago something may have been written that such a copy has not got yet; then it is left behind (30 s).";
      lagBytes = maybe types.str "How many bytes it may be behind, as they are kept in memory: `\"64MiB\"`.";
    };
    mount = mkOption {
      type = types.nullOr (types.submodule mount);
      default = null;
      description = "The file system on the volume, mounted on the primary before the group's services start.";
    };
  };

  shared.options = {
    device = mkOption {
      type = types.strMatching "/dev/[^[:space:]]+";
      description = "A whole disk that all candidates see, by a name that stays.";
      example = "/dev/disk/by-id/wwn-0x60014051a2b3c4d5";
    };
    mount = mkOption {
      type = types.nullOr (types.submodule mount);
      default = null;
      description = "The file system on it, mounted on the primary before the group's services start.";
    };
  };

  mount.options = {
    path = mkOption {
      type = types.path;
      description = "The mount point. It must not be in {option}`fileSystems`: there, every node would mount it.";
      example = "/var/lib/postgresql";
    };
    fsType = mkOption {
      type = types.enum [
        "ext4"
        "xfs"
        "btrfs"
      ];
      default = "ext4";
      description = "Which file system it is; that of a volume was made by {command}`hotspare-replicate create --format`.";
    };
    options = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "Mount options.";
      example = [ "noatime" ];
    };
  };

  group.options = {
    candidates = mkOption {
      type = names;
      description = "The nodes that may lead, the preferred one first.";
    };
    outageBudget = maybe span "The longest a power cut may cost, without the start of your own services. `550ms` to `66s`; every other time follows.";
    failback = maybe (types.enum [
      "manual"
      "auto"
    ]) "Whether a preferred node that came back takes the role again by itself.";
    bootGrace = maybe span "At cold start, how long the others wait for the preferred node.";
    holdDown = maybe span "How long a node that gave the role back stays away.";
    proof = mkOption {
      type = types.nullOr (
        types.nonEmptyListOf (
          types.enum [
            "power-off"
            "reset"
            "human"
          ]
        )
      );
      default = null;
      description = "What has to be known of a node that was switched off before its lease need not be waited for. Left out: any of them.";
    };
    movesPerHour = maybe types.ints.unsigned "A node takes the role so often by itself, then waits to be asked. 0: no limit.";
    services = mkOption {
      type = types.listOf unit;
      default = [ ];
      description = ''
        Units that run on the primary only, started in this order and stopped in reverse. Existing NixOS services are named as they are; that
        multi-user.target wants them is undone here. Sockets, timers and paths that start a service are listed like it.'';
      example = [ "postgresql.service" ];
    };
    standbyServices = mkOption {
      type = types.listOf unit;
      default = [ ];
      description = "Units that run where the role is not.";
    };
    addresses = mkOption {
      type = types.listOf (types.submodule address);
      default = [ ];
      description = "Addresses that follow the role: last up, first down.";
    };
    probes = mkOption {
      type = types.listOf (types.submodule probe);
      default = [ ];
      description = "Questions that tell whether the service does its work, asked on the primary only.";
    };
    uplinks = mkOption {
      type = types.listOf (types.submodule uplink);
      default = [ ];
      example = [ { ping = "192.0.2.254"; } ];
      description = "Questions that tell whether a node reaches its clients, asked on every candidate; one that is answered is enough. The role goes to a node that reaches them.";
    };
    volumes = mkOption {
      type = types.attrsOf (types.submodule volume);
      default = { };
      description = "Block devices with a copy on every candidate. A node leads with all of its copies or with none.";
    };
    shared = mkOption {
      type = types.listOf (types.submodule shared);
      default = [ ];
      description = "Disks that all candidates see. Whoever takes the role takes the right to write from all others first, by a persistent reservation (SCSI-3 or NVMe).";
    };
  };
in
{
  options.services.hotspare = {
    enable = lib.mkEnableOption "hotspare, high availability for two or three machines; this machine is the node of its host name";
    package = lib.mkPackageOption pkgs "hotspare" { };
    cluster = mkOption {
      type = name;
      description = "The name of the cluster, the same on all nodes.";
      example = "shop";
    };
    port = mkOption {
      type = types.ints.between 1 65533;
      default = 7400;
      description = "The first of three UDP ports; the first volume has the TCP port after them, the next volume the next.";
    };
    nodes = mkOption {
      type = types.attrsOf (types.submodule node);
      default = { };
      description = "All machines of the cluster, by host name.";
    };
    voters = maybe names "The nodes that vote: an odd number, or two that can switch each other off. Without this all nodes do.";
    heartbeat = {
      interval = maybe span "How often each node greets the others.";
      late = maybe span "After how long a silent node is suspect.";
      dead = maybe span "After how long a silent node is dead.";
      bootGrace = maybe span "How long a node that was never heard of is waited for.";
      disk = maybe (types.strMatching "/[^[:space:]]+") "A disk of a MiB or more that all nodes see, as one more link. Make places on it once: {command}`hotspare-heartbeat format`.";
    };
    groups = mkOption {
      type = types.attrsOf (types.submodule group);
      default = { };
      description = ''
        What moves together. The group `default` has the plain unit names ({file}`cluster-primary.target`), any other those with its
        name ({file}`cluster-primary@NAME.target`). A group of candidates alone is a lock for scripts.'';
    };
    settings = mkOption {
      type = types.listOf (types.attrsOf types.anything);
      default = [ ];
      description = ''
        Further nodes of the configuration file, for what has no option: each with `name`, `arguments`, `properties` and `children`. After
        {command}`hotspare force` this is where its `forced` line belongs.'';
      example = [
        {
          name = "forced";
          properties = {
            count = 1;
            reason = "room 2 has burned down";
          };
          children = [
            {
              name = "lost";
              arguments = [ "beta" ];
            }
          ];
        }
      ];
    };
    configFile = maybe types.path "A whole KDL file in place of all that is said here of the cluster.";
    keyFile = mkOption {
      type = types.str;
      default = "/etc/hotspare/node.key";
      description = "This node's private key ({command}`hotspare keygen`), a path outside the Nix store.";
    };
    secretFile = maybe types.str "A secret that all nodes share, mixed into every handshake; a path outside the Nix store.";
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether to open the ports that the nodes use between each other.";
    };
    firewallInterfaces = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "Open them on these interfaces only; none means on all.";
    };
    arbiter = {
      enable = lib.mkEnableOption "the hotspare arbiter alone: this machine votes, in one cluster or many, and runs nothing of them";
      clusters = mkOption {
        type = types.attrsOf types.path;
        default = { };
        description = "The configuration files of the clusters to vote in, as on their nodes. Others may lie in {file}`/etc/hotspare/clusters.d`.";
      };
    };
    configText = mkOption {
      type = types.str;
      readOnly = true;
      description = "The configuration file that follows from all this.";
    };
  };
}
