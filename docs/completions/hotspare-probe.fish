# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hotspare_probe_global_optspecs
    string join \n interval= timeout= rise= fall= group= uplink once h/help
end

function __fish_hotspare_probe_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hotspare_probe_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hotspare_probe_using_subcommand
    set -l cmd (__fish_hotspare_probe_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -l interval -d 'From the beginning of one question to that of the next' -r
complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -l timeout -d 'An answer that takes longer is bad' -r
complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -l rise -d 'So many good answers in a row make it good' -r
complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -l fall -d 'So many bad answers in a row make it bad' -r
complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -l group -d 'The group to name in the journal' -r
complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -l uplink -d 'Asked on every candidate, whether it reaches its clients: tell the lease client of this node what is known, and go on'
complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -l once -d 'Ask once: exit with 0 if the answer is good, with 1 if it is not'
complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -f -a "ping" -d 'Send an ICMP echo request; good if it is answered. Needs CAP_NET_RAW'
complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -f -a "http" -d 'GET an http:// address; good if the status is 200 to 399. Redirections are not followed'
complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -f -a "tcp" -d 'Connect to an address and port; good if somebody listens'
complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -f -a "exec" -d 'Run a program; good if it exits with 0. It is killed, with all its children, when its time is up'
complete -c hotspare-probe -n "__fish_hotspare_probe_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hotspare-probe -n "__fish_hotspare_probe_using_subcommand ping" -s h -l help -d 'Print help'
complete -c hotspare-probe -n "__fish_hotspare_probe_using_subcommand http" -s h -l help -d 'Print help'
complete -c hotspare-probe -n "__fish_hotspare_probe_using_subcommand tcp" -s h -l help -d 'Print help'
complete -c hotspare-probe -n "__fish_hotspare_probe_using_subcommand exec" -s h -l help -d 'Print help'
complete -c hotspare-probe -n "__fish_hotspare_probe_using_subcommand help; and not __fish_seen_subcommand_from ping http tcp exec help" -f -a "ping" -d 'Send an ICMP echo request; good if it is answered. Needs CAP_NET_RAW'
complete -c hotspare-probe -n "__fish_hotspare_probe_using_subcommand help; and not __fish_seen_subcommand_from ping http tcp exec help" -f -a "http" -d 'GET an http:// address; good if the status is 200 to 399. Redirections are not followed'
complete -c hotspare-probe -n "__fish_hotspare_probe_using_subcommand help; and not __fish_seen_subcommand_from ping http tcp exec help" -f -a "tcp" -d 'Connect to an address and port; good if somebody listens'
complete -c hotspare-probe -n "__fish_hotspare_probe_using_subcommand help; and not __fish_seen_subcommand_from ping http tcp exec help" -f -a "exec" -d 'Run a program; good if it exits with 0. It is killed, with all its children, when its time is up'
complete -c hotspare-probe -n "__fish_hotspare_probe_using_subcommand help; and not __fish_seen_subcommand_from ping http tcp exec help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
