# networking.hostName is "gamma", and services.hotspare.nodes has no such node
{ lib, ... }: { networking.hostName = lib.mkForce "gamma"; }
