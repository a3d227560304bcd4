# The cluster with one thing more.
{
  defaults.services.hotspare.groups.default = {
    holdDown = "1s";
  };
}
