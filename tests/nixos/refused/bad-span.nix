# services.hotspare.groups.default.outageBudget
{ lib, ... }: { services.hotspare.groups.default.outageBudget = lib.mkForce "two seconds"; }
