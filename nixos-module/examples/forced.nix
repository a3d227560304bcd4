# Two of three were gone; beta has been made anew and learns: what `hotspare force` wrote into the file, kept (docs/operations.md).
{
  services.hotspare = {
    enable = true;
    openFirewall = true;
    cluster = "shop";
    nodes = {
      alpha = {
        key = "k8TKgT8DfNqaWXhcV8yt8bOBJUFpHCKVIN5rVDVVGHU=";
        links = [
          "192.0.2.1"
          "198.51.100.1"
        ];
      };
      beta = {
        key = "pGFKr2iVBOLBWx0MhKWG8UEcp2kBiSGZH4rN1JfVrVA=";
        links = [
          "192.0.2.2"
          "198.51.100.2"
        ];
      };
      witness = {
        key = "8IvsFFjHK1Lwj6NbRq2EvnWHBlkl5zpKFpUWgSgKA1Y=";
        links = [
          "192.0.2.3"
          "198.51.100.3"
        ];
      };
    };
    voters = [
      "alpha"
      "beta"
      "witness"
    ];
    heartbeat = {
      interval = "500ms";
      late = "1500ms";
      dead = "5s";
      bootGrace = "10s";
    };
    groups.default = {
      candidates = [
        "alpha"
        "beta"
      ];
      outageBudget = "2s";
      failback = "manual";
      services = [ "nginx.service" ];
      probes = [
        {
          http = "http://127.0.0.1/";
          fall = 3;
        }
      ];
      addresses = [
        {
          address = "192.0.2.10/24";
          interface = "eth0";
        }
        {
          address = "2001:db8::10/64";
          interface = "eth0";
        }
      ];
    };
    settings = [
      {
        name = "forced";
        properties = {
          count = 1;
          reason = "room 2 has burned down, seen by myself";
        };
        children = [
          {
            name = "lost";
            arguments = [
              "beta"
              "witness"
            ];
          }
          {
            name = "back";
            arguments = [ "beta" ];
          }
        ];
      }
    ];
  };
}
