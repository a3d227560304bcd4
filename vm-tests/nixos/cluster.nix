# The cluster that every scenario finds, as vm-tests/cluster.py makes it of containers: two data nodes, an arbiter, a client.
{ lib, ... }:
let
  # Made for these tests; everybody can read them.
  keys = {
    alpha = {
      public = "2+ge4YzciAiuo+Vh/Nze2ANzfTRAxoJ3wq++PAaHsBw=";
      private = "W04zcZ464WkOoDUTJOV0DDzFqPDPnCvn4ckQU33+9IA=";
    };
    beta = {
      public = "Rg3teL882b5oV17PGj3SwfbyiYyrtwyaSYePNxf4gkc=";
      private = "YC1+BG46f3toipkSkHpOxtmdY7vpR8BTUDrrrx3lMqE=";
    };
    witness = {
      public = "nYNSSP0XhVeBDMsOtq8H/jtzunGUihblute4FVPlBBw=";
      private = "znqv+i99SAeLIrZceJY76pHB3LPTAYd6Dag1JnwEIdc=";
    };
  };
  # In alphabetical order, as the driver numbers them.
  numbers = {
    alpha = 1;
    beta = 2;
    client = 3;
    witness = 4;
  };
  on = network: name: "${network}.${toString numbers.${name}}";

  common =
    { config, pkgs, ... }:
    let
      me = config.networking.hostName;
    in
    {
      virtualisation.vlans = [
        1
        2
      ];
      networking = {
        firewall.enable = false;
        interfaces = {
          eth1.ipv4.addresses = lib.mkForce [
            {
              address = on "192.0.2" me;
              prefixLength = 24;
            }
          ];
          eth1.ipv6.addresses = lib.mkForce [
            {
              address = "2001:db8:1::${toString numbers.${me}}";
              prefixLength = 64;
            }
          ];
          eth2.ipv4.addresses = lib.mkForce [
            {
              address = on "198.51.100" me;
              prefixLength = 24;
            }
          ];
        };
        hosts = lib.mapAttrs' (name: _: lib.nameValuePair (on "192.0.2" name) [ name ]) numbers // {
          "192.0.2.100" = [ "vip" ];
          "2001:db8:1::100" = [ "vip6" ];
        };
      };
      environment.systemPackages = [
        (config.services.hotspare.package.override { withLab = true; })
        pkgs.curl
        pkgs.jq
        pkgs.netcat
        pkgs.nftables
        pkgs.strace
        pkgs.tcpdump
      ];
    };

  node =
    { config, ... }:
    let
      me = config.networking.hostName;
    in
    {
      imports = [ common ];
      # In a real configuration the key is a path outside the store.
      environment.etc."hotspare/node.key" = {
        text = "${keys.${me}.private}\n";
        mode = "0600";
      };
      services.hotspare = {
        enable = true;
        cluster = "lab";
        nodes = lib.mapAttrs (name: key: {
          key = key.public;
          links = [
            (on "192.0.2" name)
            (on "198.51.100" name)
          ];
        }) keys;
        groups.default = {
          candidates = [
            "alpha"
            "beta"
          ];
          services = [ "nginx.service" ];
          addresses = [
            {
              address = "192.0.2.100/24";
              interface = "eth1";
            }
            {
              address = "2001:db8:1::100/64";
              interface = "eth1";
            }
          ];
        };
        groups.jobs.candidates = [
          "alpha"
          "beta"
        ];
      };
    };

  data = {
    imports = [ node ];
    services.nginx = {
      enable = true;
      virtualHosts.default = {
        default = true;
        locations."= /who".extraConfig = ''default_type text/plain; return 200 "$hostname\n";'';
      };
    };
  };
in
{
  nodes = {
    alpha = data;
    beta = data;
    witness = node;
    client = common;
  };
}
