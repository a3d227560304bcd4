# The witness is nothing but an arbiter, and knows of the cluster by its file alone.
{
  nodes.witness =
    {
      lib,
      nodes,
      pkgs,
      ...
    }:
    {
      services.hotspare = {
        enable = lib.mkForce false;
        arbiter.enable = true;
        arbiter.clusters.lab = pkgs.writeText "lab.kdl" nodes.alpha.services.hotspare.configText;
      };
    };
}
