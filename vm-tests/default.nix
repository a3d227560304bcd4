# The scenarios as NixOS tests: NAME.py is the very text that the lab runs, NAME.nix beside it makes it a test of NixOS as well. The
# others change files that NixOS builds (/etc), or need the lab's own devices. What only NixOS can show is in nixos/.
{ pkgs, module }:
let
  inherit (pkgs) lib;
  namesIn =
    folder:
    lib.filter (name: builtins.pathExists (folder + "/${name}.nix")) (
      map (lib.removeSuffix ".py") (
        lib.filter (lib.hasSuffix ".py") (lib.attrNames (builtins.readDir folder))
      )
    );
  test =
    folder: name:
    pkgs.testers.runNixOSTest {
      imports = [
        ./nixos/cluster.nix
        (folder + "/${name}.nix")
      ];
      name = "hotspare-${name}";
      globalTimeout = 900;
      defaults.imports = [ module ];
      skipTypeCheck = true; # machines are given more methods than the driver's stubs know
      testScript = builtins.readFile ./nixos/driver.py + builtins.readFile (folder + "/${name}.py");
    };
  testsIn = folder: lib.genAttrs (namesIn folder) (test folder);
in
testsIn ./. // testsIn ./nixos
