# The cluster with one thing more.
{
  defaults.services.hotspare.groups.default = {
    movesPerHour = 2;
  };
}
