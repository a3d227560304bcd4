# Two machines, a third that only votes, one address. Nothing else is needed.
{
  services.hotspare = {
    enable = true;
    openFirewall = true;
    cluster = "demo";
    nodes = {
      alpha = {
        key = "k8TKgT8DfNqaWXhcV8yt8bOBJUFpHCKVIN5rVDVVGHU=";
        links = [ "192.0.2.1" ];
      };
      beta = {
        key = "pGFKr2iVBOLBWx0MhKWG8UEcp2kBiSGZH4rN1JfVrVA=";
        links = [ "192.0.2.2" ];
      };
      witness = {
        key = "8IvsFFjHK1Lwj6NbRq2EvnWHBlkl5zpKFpUWgSgKA1Y=";
        links = [ "192.0.2.3" ];
      };
    };
    groups.default = {
      candidates = [
        "alpha"
        "beta"
      ];
      addresses = [
        {
          address = "192.0.2.10/24";
          interface = "eth0";
        }
      ];
    };
  };
}
