# services.hotspare.arbiter.enable is for a machine that only votes
{ services.hotspare.arbiter.enable = true; }
