# The cluster with one thing more.
{
  defaults.services.hotspare.groups.default = {
    probes = [
      {
        http = "http://127.0.0.1/who";
        interval = "200ms";
        timeout = "500ms";
        rise = 2;
        fall = 3;
      }
      {
        exec = [
          "/bin/sh"
          "-c"
          "test ! -e /run/sick"
        ];
        interval = "200ms";
        fall = 2;
      }
    ];
  };
}
