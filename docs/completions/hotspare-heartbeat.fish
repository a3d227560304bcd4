# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hotspare_heartbeat_global_optspecs
    string join \n config= node= check h/help
end

function __fish_hotspare_heartbeat_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hotspare_heartbeat_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hotspare_heartbeat_using_subcommand
    set -l cmd (__fish_hotspare_heartbeat_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_needs_command" -l config -d 'The configuration' -r -F
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_needs_command" -l node -d 'The node of the configuration that this machine is [default: the host name]' -r
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_needs_command" -l check -d 'Check configuration and key, and exit'
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_needs_command" -f -a "listen" -d 'Print what the daemon hears: the state of every link first, then each change as it happens'
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_needs_command" -f -a "format" -d 'Make places for the nodes of the configuration on the disk that it names for heartbeats. Once, on one node, as root; and again when there is another node'
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_using_subcommand listen" -l json -d 'One JSON object per line'
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_using_subcommand listen" -l once -d 'End after the state of every link'
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_using_subcommand listen" -s h -l help -d 'Print help'
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_using_subcommand format" -l again -d 'Also where something is on it already'
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_using_subcommand format" -s h -l help -d 'Print help'
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_using_subcommand help; and not __fish_seen_subcommand_from listen format help" -f -a "listen" -d 'Print what the daemon hears: the state of every link first, then each change as it happens'
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_using_subcommand help; and not __fish_seen_subcommand_from listen format help" -f -a "format" -d 'Make places for the nodes of the configuration on the disk that it names for heartbeats. Once, on one node, as root; and again when there is another node'
complete -c hotspare-heartbeat -n "__fish_hotspare_heartbeat_using_subcommand help; and not __fish_seen_subcommand_from listen format help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
