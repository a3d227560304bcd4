# PostgreSQL as NixOS has it, on a volume: what an existing service needs is one line in a group.
let
  data =
    { lib, ... }:
    {
      virtualisation.emptyDiskImages = [ 512 ];
      services.postgresql.enable = true;
      services.hotspare.groups.default = {
        services = lib.mkForce [ "postgresql.service" ];
        volumes.data = {
          backing = "/dev/vdb";
          mount.path = "/var/lib/postgresql";
        };
      };
    };
in
{
  nodes.alpha = data;
  nodes.beta = data;
  nodes.witness =
    { lib, ... }:
    {
      services.hotspare.groups.default = {
        services = lib.mkForce [ "postgresql.service" ];
        volumes.data = {
          backing = "/dev/vdb";
          mount.path = "/var/lib/postgresql";
        };
      };
    };
}
