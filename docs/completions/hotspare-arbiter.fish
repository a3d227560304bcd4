complete -c hotspare-arbiter -l config -d 'The configuration; give it once for each cluster to vote in' -r -F
complete -c hotspare-arbiter -l config-dir -d 'Read every *.kdl file of this folder as well, one cluster each' -r -F
complete -c hotspare-arbiter -l node -d 'The node of the configuration that this machine is [default: the host name]' -r
complete -c hotspare-arbiter -l state -d 'Where the registers are kept [default: $STATE_DIRECTORY]' -r -F
complete -c hotspare-arbiter -l check -d 'Check configuration, key and registers, and exit'
complete -c hotspare-arbiter -s h -l help -d 'Print help (see more with \'--help\')'
