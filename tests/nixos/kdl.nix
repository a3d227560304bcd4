# What the renderer makes of everything that a KDL value can be: evaluates to true, or says what it made instead.
let
  render = import ../../nixos-module/kdl.nix;
  made = render [
    {
      name = "plain";
      arguments = [
        "two words"
        1
        true
        null
      ];
      properties = {
        gone = null;
        "odd key" = "\"quoted\" \\ back\nnew\ttab";
      };
    }
    {
      name = "7up";
      children = [
        {
          name = "inner";
          properties.a-b = false;
          children = [ { name = "leaf"; } ];
        }
      ];
    }
  ];
  expected = ''
    plain "two words" 1 #true #null "odd key"="\"quoted\" \\ back\nnew\ttab"
    "7up" {
        inner a-b=#false {
            leaf
        }
    }
  '';
in
if made == expected then true else throw "the renderer made:\n${made}"
