# services.hotspare.nodes.alpha.key
{ lib, ... }: { services.hotspare.nodes.alpha.key = lib.mkForce "short"; }
