# services.hotspare.groups is empty
{ lib, ... }: { services.hotspare.groups = lib.mkForce { }; }
