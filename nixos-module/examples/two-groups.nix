# Each node leads one group and stands by for the other; a lock for scripts besides.
{
  services.hotspare = {
    enable = true;
    openFirewall = true;
    cluster = "pair";
    nodes = {
      alpha = {
        key = "k8TKgT8DfNqaWXhcV8yt8bOBJUFpHCKVIN5rVDVVGHU=";
        links = [ "192.0.2.1" ];
      };
      beta = {
        key = "pGFKr2iVBOLBWx0MhKWG8UEcp2kBiSGZH4rN1JfVrVA=";
        links = [ "192.0.2.2" ];
      };
      witness = {
        key = "8IvsFFjHK1Lwj6NbRq2EvnWHBlkl5zpKFpUWgSgKA1Y=";
        links = [ "192.0.2.3" ];
      };
    };
    groups = {
      web = {
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
        uplinks = [ { ping = "192.0.2.254"; } ]; # the router: a node that does not reach it hands over to one that does
      };
      db = {
        candidates = [
          "beta"
          "alpha"
        ];
        services = [ "postgresql@17-main.service" ];
        standbyServices = [ "pg-archive.timer" ];
        addresses = [
          {
            address = "192.0.2.20/24";
            interface = "eth0";
          }
        ];
      };
      # Runs nothing by itself: `hotspare-lease hold nightly -- backup` on either node, never on both.
      nightly = {
        candidates = [
          "alpha"
          "beta"
        ];
        outageBudget = "10s";
      };
    };
  };
}
