# A database, and its log on a disk of its own: a node leads with both copies or with none.
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
        backing = "/dev/vg0/data";
        mount.path = "/srv/database"; # hotspare-replicate create data --first --format ext4
      };
      volumes.log = {
        backing = "/dev/nvme0n1p3";
        # On top of the other one, and after it.
        mount = {
          path = "/srv/database/log";
          type = "xfs";
        };
      };
      services = [ "database.service" ]; # started when both are mounted
      addresses = [
        {
          address = "192.0.2.10/24";
          interface = "eth0";
        }
      ];
    };
  };

  # Any service of NixOS would do; here is one of your own. What it wants is in the group, not here.
  systemd.services.database = {
    wantedBy = [ "multi-user.target" ];
    script = "exec sleep infinity";
  };
}
