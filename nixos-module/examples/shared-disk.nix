# Two machines that see the same disk (iSCSI, Fibre Channel, NVMe over fabrics), and a third that only votes. Whoever takes the role takes the right to
# write from the other one first, by a persistent reservation: the disk itself refuses what a machine that has lost the role still writes. A second,
# small disk is one more link for heartbeats, and takes an order to a machine that nobody hears any more: to reset itself.
{
  services.hotspare = {
    enable = true;
    openFirewall = true;
    cluster = "shop";
    heartbeat.disk = "/dev/disk/by-id/wwn-0x60014051a2b3c4d6"; # once: hotspare-heartbeat format
    nodes = {
      alpha = {
        key = "k8TKgT8DfNqaWXhcV8yt8bOBJUFpHCKVIN5rVDVVGHU=";
        links = [ "192.0.2.1" ];
        fence = [ { pill = true; } ];
      };
      beta = {
        key = "pGFKr2iVBOLBWx0MhKWG8UEcp2kBiSGZH4rN1JfVrVA=";
        links = [ "192.0.2.2" ];
        fence = [ { pill = true; } ];
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
      shared = [
        {
          device = "/dev/disk/by-id/wwn-0x60014051a2b3c4d5";
          mount = {
            path = "/srv/files";
            options = [ "noatime" ];
          };
        }
      ];
      services = [ "smbd.service" ]; # started when the disk is mounted
      addresses = [
        {
          address = "192.0.2.10/24";
          interface = "eth0";
        }
      ];
    };
  };

  # Any service of NixOS would do; here is one of your own. What it wants is in the group, not here.
  systemd.services.smbd = {
    wantedBy = [ "multi-user.target" ];
    script = "exec sleep infinity";
  };
}
