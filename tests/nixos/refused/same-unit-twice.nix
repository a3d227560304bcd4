# nginx.service is there twice
{
  services.hotspare.groups.web = {
    candidates = [ "beta" ];
    services = [ "nginx.service" ];
  };
}
