complete -c hotspare-generator -l config -d 'The configuration' -r -F
complete -c hotspare-generator -l node -d 'The node of the configuration that this machine is [default: the host name]' -r
complete -c hotspare-generator -l active -d 'Where the gates keep the configuration in force' -r -F
complete -c hotspare-generator -s h -l help -d 'Print help (see more with \'--help\')'
