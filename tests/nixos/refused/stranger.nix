# services.hotspare.groups.default.candidates names gamma
{ services.hotspare.groups.default.candidates = [ "gamma" ]; }
