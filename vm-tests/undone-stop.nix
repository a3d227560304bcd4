# The cluster with a unit that runs where the role is not.
{
  defaults =
    { pkgs, ... }:
    {
      services.hotspare.groups.default.standbyServices = [ "keeper.service" ];
      systemd.services.keeper.serviceConfig.ExecStart = "${pkgs.coreutils}/bin/sleep infinity";
    };
}
