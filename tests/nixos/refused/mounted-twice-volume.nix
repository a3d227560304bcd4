# services.hotspare.groups.default mounts /srv/data, and so does fileSystems
{ fileSystems."/srv/data".device = "/dev/sda1"; }
