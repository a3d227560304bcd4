# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hotspare_lease_global_optspecs
    string join \n h/help
end

function __fish_hotspare_lease_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hotspare_lease_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hotspare_lease_using_subcommand
    set -l cmd (__fish_hotspare_lease_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hotspare-lease -n "__fish_hotspare_lease_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hotspare-lease -n "__fish_hotspare_lease_needs_command" -f -a "hold" -d 'Take the lease of GROUP and run COMMAND while it is held; without COMMAND, hold it until stopped'
complete -c hotspare-lease -n "__fish_hotspare_lease_needs_command" -f -a "watch" -d 'Print a line whenever the holder of GROUP changes'
complete -c hotspare-lease -n "__fish_hotspare_lease_needs_command" -f -a "release" -d 'Give the lease of GROUP to another node that is ready'
complete -c hotspare-lease -n "__fish_hotspare_lease_needs_command" -f -a "show" -d 'Who holds GROUP, in which epoch. Exits with 0 if this node does, 1 if not'
complete -c hotspare-lease -n "__fish_hotspare_lease_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hotspare-lease -n "__fish_hotspare_lease_using_subcommand hold" -s t -l timeout -d 'Give up if the lease is not free within this many seconds [default: wait for ever]' -r
complete -c hotspare-lease -n "__fish_hotspare_lease_using_subcommand hold" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hotspare-lease -n "__fish_hotspare_lease_using_subcommand watch" -l json -d 'One JSON object per line'
complete -c hotspare-lease -n "__fish_hotspare_lease_using_subcommand watch" -s h -l help -d 'Print help'
complete -c hotspare-lease -n "__fish_hotspare_lease_using_subcommand release" -s h -l help -d 'Print help'
complete -c hotspare-lease -n "__fish_hotspare_lease_using_subcommand show" -l json
complete -c hotspare-lease -n "__fish_hotspare_lease_using_subcommand show" -s h -l help -d 'Print help'
complete -c hotspare-lease -n "__fish_hotspare_lease_using_subcommand help; and not __fish_seen_subcommand_from hold watch release show help" -f -a "hold" -d 'Take the lease of GROUP and run COMMAND while it is held; without COMMAND, hold it until stopped'
complete -c hotspare-lease -n "__fish_hotspare_lease_using_subcommand help; and not __fish_seen_subcommand_from hold watch release show help" -f -a "watch" -d 'Print a line whenever the holder of GROUP changes'
complete -c hotspare-lease -n "__fish_hotspare_lease_using_subcommand help; and not __fish_seen_subcommand_from hold watch release show help" -f -a "release" -d 'Give the lease of GROUP to another node that is ready'
complete -c hotspare-lease -n "__fish_hotspare_lease_using_subcommand help; and not __fish_seen_subcommand_from hold watch release show help" -f -a "show" -d 'Who holds GROUP, in which epoch. Exits with 0 if this node does, 1 if not'
complete -c hotspare-lease -n "__fish_hotspare_lease_using_subcommand help; and not __fish_seen_subcommand_from hold watch release show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
