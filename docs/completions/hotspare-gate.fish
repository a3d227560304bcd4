complete -c hotspare-gate -l slice -d 'The slice that the group\'s services run in [default: cluster-GROUP.slice]' -r
complete -c hotspare-gate -l address -d 'An address of the group, as ADDRESS/PREFIX@INTERFACE; give it once for each' -r
complete -c hotspare-gate -l config -d 'The configuration that the units were made from; a copy of it is kept while the lease is held' -r -F
complete -c hotspare-gate -l act -d 'What to do' -r -f -a "guard\t'Be the gate (ExecStart=)'
prove\t'Prove that nothing is left, killing what is (ExecStopPost=)'
refresh\t'Have process 1 make the units of the configuration in force, for all groups (hotspare-refresh.service)'
up\t'Say that the whole role is up'
give-up\t'Say that a service failed for good'"
complete -c hotspare-gate -s h -l help -d 'Print help (see more with \'--help\')'
