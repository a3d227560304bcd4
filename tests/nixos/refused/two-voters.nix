# 2 nodes vote, and half of them is no majority
{ lib, ... }: {
  services.hotspare.voters = lib.mkForce [
    "alpha"
    "beta"
  ];
}
