# The cluster with one thing more.
{
  defaults.services.hotspare.groups.default = {
    outageBudget = "13s";
  };
}
