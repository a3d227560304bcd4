# Two machines and an arbiter, each of the two switched off by the others: by its management controller, by both outlets of its power supplies, or by a
# program. `hotspare-fence test` tries everything but the trigger.
{
  services.hotspare = {
    enable = true;
    openFirewall = true;
    cluster = "shop";
    nodes = {
      alpha = {
        key = "k8TKgT8DfNqaWXhcV8yt8bOBJUFpHCKVIN5rVDVVGHU=";
        links = [ "192.0.2.1" ];
        fence = [
          {
            agent = "fence_ipmilan";
            timeout = "20s";
            options = {
              ip = "203.0.113.1";
              username = "hotspare";
              lanplus = "1";
            };
            secrets.password = "ipmi-alpha"; # /etc/credstore/ipmi-alpha, readable by root alone
          }
          {
            agent = "fence_apc_snmp";
            level = 2;
            options = {
              ip = "203.0.113.10";
              plug = "1";
            };
          }
          {
            agent = "fence_apc_snmp";
            level = 2;
            options = {
              ip = "203.0.113.11";
              plug = "1";
            };
          }
        ];
      };
      beta = {
        key = "pGFKr2iVBOLBWx0MhKWG8UEcp2kBiSGZH4rN1JfVrVA=";
        links = [ "192.0.2.2" ];
        fence = [
          {
            run = [
              "/usr/local/sbin/outlet"
              "beta"
            ];
            timeout = "10s";
          }
        ];
      };
      witness = {
        key = "8IvsFFjHK1Lwj6NbRq2EvnWHBlkl5zpKFpUWgSgKA1Y=";
        links = [ "192.0.2.3" ];
      };
    };
    groups.default = {
      candidates = [
        "alpha"
        "beta"
      ];
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
