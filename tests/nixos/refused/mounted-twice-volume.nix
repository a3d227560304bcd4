# services.hotspare.groups.default.volumes mounts /srv/data, and so does fileSystems
{ fileSystems."/srv/data".device = "/dev/sda1"; }
