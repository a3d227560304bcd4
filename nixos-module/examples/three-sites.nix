# Two machines with a copy of the data each, a third one far away whose copy is behind: nobody waits for it, and it never leads by itself.
{
  services.hotspare = {
    enable = true;
    openFirewall = true;
    cluster = "shop";
    nodes = {
      alpha = {
        key = "k8TKgT8DfNqaWXhcV8yt8bOBJUFpHCKVIN5rVDVVGHU=";
        links = [ "192.0.2.1" ];
      };
      beta = {
        key = "pGFKr2iVBOLBWx0MhKWG8UEcp2kBiSGZH4rN1JfVrVA=";
        links = [ "192.0.2.2" ];
      };
      gamma = {
        key = "8IvsFFjHK1Lwj6NbRq2EvnWHBlkl5zpKFpUWgSgKA1Y=";
        links = [ "198.51.100.3" ];
      };
    };
    groups.default = {
      candidates = [
        "alpha"
        "beta"
        "gamma"
      ];
      volumes.data = {
        backing = "/dev/vg0/data";
        mount.path = "/srv/data";
        asynchronous = {
          nodes = [ "gamma" ];
          lag = "1min"; # further behind it is left behind, and made equal later
          lagBytes = "256MiB";
        };
      };
      services = [ "shop.service" ];
      addresses = [
        {
          address = "192.0.2.10/24";
          interface = "eth0";
        }
      ];
    };
  };
}
