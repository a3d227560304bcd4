# Two machines with a copy of the data each, and a third that only votes.
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
      volumes.data = {
        backing = "/dev/vg0/data"; # on every candidate,
        backings.beta = "/srv/data.img"; # unless it has a line of its own
        mount.path = "/srv/data"; # made with: hotspare-replicate create data --first --format ext4
      };
      services = [ "shop.service" ]; # started when the volume is there
      addresses = [
        {
          address = "192.0.2.10/24";
          interface = "eth0";
        }
      ];
    };
  };

  # Any service of NixOS would do; here is one of your own. What it wants is in the group, not here.
  systemd.services.shop = {
    wantedBy = [ "multi-user.target" ];
    script = "exec sleep infinity";
  };
}
