# Renders KDL 2. Builtins only, so that it can be tested without nixpkgs (tests/nixos/kdl.nix).
#
# A document is a list of nodes { name, arguments ? [ ], properties ? { }, children ? [ ] }. A property that is null is left out.
let
  inherit (builtins)
    attrNames
    concatMap
    concatStringsSep
    isAttrs
    isBool
    isFloat
    isInt
    isString
    match
    replaceStrings
    toJSON
    typeOf
    ;

  string =
    text:
    "\"${
      replaceStrings
        [
          "\\"
          "\""
          "\n"
          "\r"
          "\t"
        ]
        [
          "\\\\"
          "\\\""
          "\\n"
          "\\r"
          "\\t"
        ]
        text
    }\"";

  # A name that needs no quotes; KDL allows more, and nobody has to know what.
  word = text: if match "[a-zA-Z_][a-zA-Z0-9_-]*" text != null then text else string text;

  value =
    v:
    if isString v then
      string v
    else if isBool v then
      (if v then "#true" else "#false")
    else if isInt v || isFloat v then
      toJSON v
    else if v == null then
      "#null"
    else if isAttrs v && v ? outPath then
      string (toString v)
    else
      throw "a ${typeOf v} is no KDL value: a string, a number, a boolean or null is";

  node =
    indent:
    {
      name,
      arguments ? [ ],
      properties ? { },
      children ? [ ],
    }:
    let
      property =
        key: if properties.${key} == null then [ ] else [ "${word key}=${value properties.${key}}" ];
      head = [ (word name) ] ++ map value arguments ++ concatMap property (attrNames properties);
      body = if children == [ ] then "" else " {\n${nodes "${indent}    " children}${indent}}";
    in
    "${indent}${concatStringsSep " " head}${body}\n";

  nodes = indent: list: concatStringsSep "" (map (node indent) list);
in
nodes ""
