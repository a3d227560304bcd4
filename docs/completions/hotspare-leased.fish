complete -c hotspare-leased -l config -d 'The configuration' -r -F
complete -c hotspare-leased -l node -d 'The node of the configuration that this machine is [default: the host name]' -r
complete -c hotspare-leased -l check -d 'Check configuration and key, and exit'
complete -c hotspare-leased -s h -l help -d 'Print help (see more with \'--help\')'
