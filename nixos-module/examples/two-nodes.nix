# Two machines and nobody else: each can switch the other one off, and whoever is proven to be off counts as granted. A third machine that only votes
# costs less; `hotspare check` says what this one costs. The outage budget gives the devices time: a sixth of the lease.
let
  ipmi = ip: [
    {
      agent = "fence_ipmilan";
      timeout = "20s";
      options = {
        inherit ip;
        username = "hotspare";
        lanplus = "1";
      };
      secrets.password = "ipmi"; # /etc/credstore/ipmi, readable by root alone
    }
  ];
in
{
  services.hotspare = {
    enable = true;
    openFirewall = true;
    cluster = "shop";
    nodes = {
      alpha = {
        key = "k8TKgT8DfNqaWXhcV8yt8bOBJUFpHCKVIN5rVDVVGHU=";
        links = [ "192.0.2.1" ];
        fence = ipmi "203.0.113.1";
      };
      beta = {
        key = "pGFKr2iVBOLBWx0MhKWG8UEcp2kBiSGZH4rN1JfVrVA=";
        links = [ "192.0.2.2" ];
        fence = ipmi "203.0.113.2";
      };
    };
    groups.default = {
      candidates = [
        "alpha"
        "beta"
      ];
      outageBudget = "36s";
      services = [ "nginx.service" ];
      addresses = [
        {
          address = "192.0.2.10/24";
          interface = "eth0";
        }
      ];
    };
  };
}
