{
  description = "hotspare: two or three machines and one service that must not die";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      each = make: lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      ours = pkgs: self.packages.${pkgs.stdenv.hostPlatform.system};
      tests =
        pkgs:
        import ./vm-tests {
          inherit pkgs;
          module = self.nixosModules.hotspare;
        };
    in
    {
      packages = each (pkgs: rec {
        hotspare = pkgs.callPackage ./nix/package.nix { };
        default = hotspare;
      });

      overlays.default = final: _: { hotspare = final.callPackage ./nix/package.nix { }; };

      nixosModules = rec {
        hotspare =
          { lib, pkgs, ... }:
          {
            imports = [ ./nixos-module ];
            services.hotspare.package = lib.mkDefault (ours pkgs).hotspare;
          };
        default = hotspare;
      };

      # The package, and the scenarios that are NixOS tests as well: `nix build .#checks.x86_64-linux.power-cut`.
      checks = each (pkgs: { package = (ours pkgs).hotspare; } // tests pkgs);

      # `nix run .#demo`: three machines and a client; `start_all()`, then look around in alpha, beta, witness and client.
      apps = each (pkgs: rec {
        demo = {
          type = "app";
          program = "${(tests pkgs).cold-start.driverInteractive}/bin/nixos-test-driver";
          meta.description = "A cluster of virtual machines to play with";
        };
        default = demo;
      });

      devShells = each (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ (ours pkgs).hotspare ];
          packages = [
            pkgs.clippy
            pkgs.rustfmt
          ];
        };
      });

      formatter = each (pkgs: pkgs.nixfmt-tree);
    };
}
