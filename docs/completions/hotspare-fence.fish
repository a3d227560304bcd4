# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hotspare_fence_global_optspecs
    string join \n config= node= h/help
end

function __fish_hotspare_fence_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hotspare_fence_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hotspare_fence_using_subcommand
    set -l cmd (__fish_hotspare_fence_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -l config -d 'The configuration' -r -F
complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -l node -d 'This node\'s name, if it is not the host name' -r
complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -f -a "off" -d 'Switch a node off. Exits with 0 if that is proven, with 1 if it is not'
complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -f -a "on" -d 'Switch a node on, by all of its devices'
complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -f -a "reboot" -d 'Switch a node off, and on again when it is proven to be off'
complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -f -a "confirm" -d 'Say that a node is off, because you have seen it: where its device died with it. The other one of two nodes without an arbiter then leads; if the node does run, both do'
complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -f -a "status" -d 'Ask the devices whether nodes have power; of all nodes, or of one'
complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -f -a "list" -d 'Show the devices of all nodes, without asking them anything'
complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -f -a "test" -d 'Try everything but the trigger: programs, options, credentials, and what the devices say. Exits with 1 if something is wrong'
complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -f -a "claim" -d 'Take the right to write to a shared disk away from all other nodes, by a persistent reservation (SCSI-3 or NVMe). The units of a group with a `shared` disk do so when its role starts; exits with 0 if nobody else of the cluster can write to it any more'
complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -f -a "free" -d 'Say whether a shared disk could be claimed here: it is there, and nothing on this machine has it (a mount of an earlier role). Takes nothing. A node that stands by asks until it is so, and is not ready before; exits with 1 if it could not'
complete -c hotspare-fence -n "__fish_hotspare_fence_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand off" -l config -d 'The configuration' -r -F
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand off" -l node -d 'This node\'s name, if it is not the host name' -r
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand off" -s h -l help -d 'Print help'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand on" -l config -d 'The configuration' -r -F
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand on" -l node -d 'This node\'s name, if it is not the host name' -r
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand on" -s h -l help -d 'Print help'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand reboot" -l config -d 'The configuration' -r -F
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand reboot" -l node -d 'This node\'s name, if it is not the host name' -r
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand reboot" -s h -l help -d 'Print help'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand confirm" -l reason -d 'How you know; it is kept in the journal' -r
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand confirm" -l config -d 'The configuration' -r -F
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand confirm" -l node -d 'This node\'s name, if it is not the host name' -r
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand confirm" -s h -l help -d 'Print help'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand status" -l config -d 'The configuration' -r -F
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand status" -l node -d 'This node\'s name, if it is not the host name' -r
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand status" -s h -l help -d 'Print help'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand list" -l config -d 'The configuration' -r -F
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand list" -l node -d 'This node\'s name, if it is not the host name' -r
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand list" -s h -l help -d 'Print help'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand test" -l config -d 'The configuration' -r -F
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand test" -l node -d 'This node\'s name, if it is not the host name' -r
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand test" -s h -l help -d 'Print help'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand claim" -l group -d 'Only while this node safely holds the lease of this group; nothing more is taken once it does not. Without it, whoever types this answers for nobody else writing to the disk' -r
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand claim" -l config -d 'The configuration' -r -F
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand claim" -l node -d 'This node\'s name, if it is not the host name' -r
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand claim" -s h -l help -d 'Print help'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand free" -l config -d 'The configuration' -r -F
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand free" -l node -d 'This node\'s name, if it is not the host name' -r
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand free" -s h -l help -d 'Print help'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand help; and not __fish_seen_subcommand_from off on reboot confirm status list test claim free help" -f -a "off" -d 'Switch a node off. Exits with 0 if that is proven, with 1 if it is not'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand help; and not __fish_seen_subcommand_from off on reboot confirm status list test claim free help" -f -a "on" -d 'Switch a node on, by all of its devices'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand help; and not __fish_seen_subcommand_from off on reboot confirm status list test claim free help" -f -a "reboot" -d 'Switch a node off, and on again when it is proven to be off'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand help; and not __fish_seen_subcommand_from off on reboot confirm status list test claim free help" -f -a "confirm" -d 'Say that a node is off, because you have seen it: where its device died with it. The other one of two nodes without an arbiter then leads; if the node does run, both do'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand help; and not __fish_seen_subcommand_from off on reboot confirm status list test claim free help" -f -a "status" -d 'Ask the devices whether nodes have power; of all nodes, or of one'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand help; and not __fish_seen_subcommand_from off on reboot confirm status list test claim free help" -f -a "list" -d 'Show the devices of all nodes, without asking them anything'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand help; and not __fish_seen_subcommand_from off on reboot confirm status list test claim free help" -f -a "test" -d 'Try everything but the trigger: programs, options, credentials, and what the devices say. Exits with 1 if something is wrong'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand help; and not __fish_seen_subcommand_from off on reboot confirm status list test claim free help" -f -a "claim" -d 'Take the right to write to a shared disk away from all other nodes, by a persistent reservation (SCSI-3 or NVMe). The units of a group with a `shared` disk do so when its role starts; exits with 0 if nobody else of the cluster can write to it any more'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand help; and not __fish_seen_subcommand_from off on reboot confirm status list test claim free help" -f -a "free" -d 'Say whether a shared disk could be claimed here: it is there, and nothing on this machine has it (a mount of an earlier role). Takes nothing. A node that stands by asks until it is so, and is not ready before; exits with 1 if it could not'
complete -c hotspare-fence -n "__fish_hotspare_fence_using_subcommand help; and not __fish_seen_subcommand_from off on reboot confirm status list test claim free help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
