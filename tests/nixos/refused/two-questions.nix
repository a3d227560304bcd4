# says not exactly one of http, tcp and exec
{
  services.hotspare.groups.default.probes = [
    {
      tcp = "127.0.0.1:80";
      http = "http://127.0.0.1/";
    }
  ];
}
