# services.hotspare.keyFile is in the Nix store
{ services.hotspare.keyFile = "${./key-in-store.nix}"; }
