# Two other configurations to switch to: one that moves nothing, one that would cost the role.
{ lib, ... }:
let
  others = {
    specialisation.changed.configuration.services = {
      hotspare.groups.tasks.candidates = [ "alpha" ];
      nginx.virtualHosts.default.locations."= /new".return = "204";
    };
    specialisation.without-alpha.configuration.services.hotspare.groups.default.candidates =
      lib.mkForce
        [ "beta" ];
  };
in
{
  nodes.alpha = others;
  nodes.beta = others;
}
