# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hotspare_global_optspecs
    string join \n h/help
end

function __fish_hotspare_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hotspare_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hotspare_using_subcommand
    set -l cmd (__fish_hotspare_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hotspare -n "__fish_hotspare_needs_command" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_needs_command" -f -a "check" -d 'Check a configuration file: all mistakes at once, with what would be right. Exits with 78 if there are any'
complete -c hotspare -n "__fish_hotspare_needs_command" -f -a "keygen" -d 'Make this node\'s private key, and print the public one for the configuration'
complete -c hotspare -n "__fish_hotspare_needs_command" -f -a "status" -d 'Who leads, why, who votes, what is missing, and what would happen if this node died now'
complete -c hotspare -n "__fish_hotspare_needs_command" -f -a "switchover" -d 'Move a group in an orderly way. A refusal disturbs nothing'
complete -c hotspare -n "__fish_hotspare_needs_command" -f -a "apply" -d 'Put a changed configuration in force on this node, without moving a role. What concerns a group that is held here waits until it moves; `hotspare status` shows it as pending until then'
complete -c hotspare -n "__fish_hotspare_needs_command" -f -a "doctor" -d 'Look at this host: versions, clocks, disk, network, watchdog, the units of its groups. Changes nothing; exits with 1 if something does not work, or will not when it has to'
complete -c hotspare -n "__fish_hotspare_needs_command" -f -a "force" -d 'Go on without a majority, when the nodes that are missing are gone for good. Read docs/operations.md first: what only they knew is lost, and if one of them still runs, two nodes act at once'
complete -c hotspare -n "__fish_hotspare_needs_command" -f -a "pause" -d 'Stop all moves that nobody asked for, on all candidates, also across reboots. Leases are kept'
complete -c hotspare -n "__fish_hotspare_needs_command" -f -a "resume" -d 'Allow them again'
complete -c hotspare -n "__fish_hotspare_needs_command" -f -a "explain" -d 'Explain what follows from the configuration'
complete -c hotspare -n "__fish_hotspare_needs_command" -f -a "events" -d 'The story of the cluster on this node: journalctl with the right filter'
complete -c hotspare -n "__fish_hotspare_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hotspare -n "__fish_hotspare_using_subcommand check" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_using_subcommand keygen" -l out -d 'Where to put the private key (mode 0600)' -r -F
complete -c hotspare -n "__fish_hotspare_using_subcommand keygen" -l force -d 'Replace a key that is there'
complete -c hotspare -n "__fish_hotspare_using_subcommand keygen" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_using_subcommand status" -l json -d 'For scripts'
complete -c hotspare -n "__fish_hotspare_using_subcommand status" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_using_subcommand switchover" -l to -d 'The node that shall lead [default: this one, or if it leads already, the best other]' -r
complete -c hotspare -n "__fish_hotspare_using_subcommand switchover" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_using_subcommand apply" -l file -d 'With --dry-run: a file that is not in its place yet' -r -F
complete -c hotspare -n "__fish_hotspare_using_subcommand apply" -l dry-run -d 'Change nothing: say what would happen, and exit with 1 if it would cost a role or the cluster\'s votes'
complete -c hotspare -n "__fish_hotspare_using_subcommand apply" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_using_subcommand doctor" -l config -r -F
complete -c hotspare -n "__fish_hotspare_using_subcommand doctor" -l json -d 'For scripts'
complete -c hotspare -n "__fish_hotspare_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_using_subcommand force" -l lost -d 'A node that is gone and switched off; once for each' -r
complete -c hotspare -n "__fish_hotspare_using_subcommand force" -l volume -d 'On the node whose copy of this volume shall count, when none of those that do is left: what it lacks is lost. It is for all volumes of its group' -r
complete -c hotspare -n "__fish_hotspare_using_subcommand force" -l back -d 'A node that was gone and has been made anew: it may lead again, and learns what a voter has to know' -r
complete -c hotspare -n "__fish_hotspare_using_subcommand force" -l reason -d 'Why; it is kept in the configuration and in the journal' -r
complete -c hotspare -n "__fish_hotspare_using_subcommand force" -l vote -d 'On a node that came back and has learned enough: it votes again'
complete -c hotspare -n "__fish_hotspare_using_subcommand force" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_using_subcommand pause" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_using_subcommand resume" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_using_subcommand explain; and not __fish_seen_subcommand_from timing help" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_using_subcommand explain; and not __fish_seen_subcommand_from timing help" -f -a "timing" -d 'Every time that follows from a group\'s outage budget'
complete -c hotspare -n "__fish_hotspare_using_subcommand explain; and not __fish_seen_subcommand_from timing help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hotspare -n "__fish_hotspare_using_subcommand explain; and __fish_seen_subcommand_from timing" -l config -r -F
complete -c hotspare -n "__fish_hotspare_using_subcommand explain; and __fish_seen_subcommand_from timing" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_using_subcommand explain; and __fish_seen_subcommand_from help" -f -a "timing" -d 'Every time that follows from a group\'s outage budget'
complete -c hotspare -n "__fish_hotspare_using_subcommand explain; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hotspare -n "__fish_hotspare_using_subcommand events" -l group -d 'One group only' -r
complete -c hotspare -n "__fish_hotspare_using_subcommand events" -s f -l follow -d 'Go on as it happens'
complete -c hotspare -n "__fish_hotspare_using_subcommand events" -l json -d 'For scripts: one JSON object per line'
complete -c hotspare -n "__fish_hotspare_using_subcommand events" -s x -l explain -d 'Explain each event (the catalog)'
complete -c hotspare -n "__fish_hotspare_using_subcommand events" -s h -l help -d 'Print help'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and not __fish_seen_subcommand_from check keygen status switchover apply doctor force pause resume explain events help" -f -a "check" -d 'Check a configuration file: all mistakes at once, with what would be right. Exits with 78 if there are any'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and not __fish_seen_subcommand_from check keygen status switchover apply doctor force pause resume explain events help" -f -a "keygen" -d 'Make this node\'s private key, and print the public one for the configuration'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and not __fish_seen_subcommand_from check keygen status switchover apply doctor force pause resume explain events help" -f -a "status" -d 'Who leads, why, who votes, what is missing, and what would happen if this node died now'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and not __fish_seen_subcommand_from check keygen status switchover apply doctor force pause resume explain events help" -f -a "switchover" -d 'Move a group in an orderly way. A refusal disturbs nothing'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and not __fish_seen_subcommand_from check keygen status switchover apply doctor force pause resume explain events help" -f -a "apply" -d 'Put a changed configuration in force on this node, without moving a role. What concerns a group that is held here waits until it moves; `hotspare status` shows it as pending until then'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and not __fish_seen_subcommand_from check keygen status switchover apply doctor force pause resume explain events help" -f -a "doctor" -d 'Look at this host: versions, clocks, disk, network, watchdog, the units of its groups. Changes nothing; exits with 1 if something does not work, or will not when it has to'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and not __fish_seen_subcommand_from check keygen status switchover apply doctor force pause resume explain events help" -f -a "force" -d 'Go on without a majority, when the nodes that are missing are gone for good. Read docs/operations.md first: what only they knew is lost, and if one of them still runs, two nodes act at once'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and not __fish_seen_subcommand_from check keygen status switchover apply doctor force pause resume explain events help" -f -a "pause" -d 'Stop all moves that nobody asked for, on all candidates, also across reboots. Leases are kept'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and not __fish_seen_subcommand_from check keygen status switchover apply doctor force pause resume explain events help" -f -a "resume" -d 'Allow them again'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and not __fish_seen_subcommand_from check keygen status switchover apply doctor force pause resume explain events help" -f -a "explain" -d 'Explain what follows from the configuration'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and not __fish_seen_subcommand_from check keygen status switchover apply doctor force pause resume explain events help" -f -a "events" -d 'The story of the cluster on this node: journalctl with the right filter'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and not __fish_seen_subcommand_from check keygen status switchover apply doctor force pause resume explain events help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hotspare -n "__fish_hotspare_using_subcommand help; and __fish_seen_subcommand_from explain" -f -a "timing" -d 'Every time that follows from a group\'s outage budget'
