# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hotspare_replicate_global_optspecs
    string join \n config= node= h/help
end

function __fish_hotspare_replicate_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hotspare_replicate_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hotspare_replicate_using_subcommand
    set -l cmd (__fish_hotspare_replicate_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hotspare-replicate -n "__fish_hotspare_replicate_needs_command" -l config -d 'The configuration file' -r -F
complete -c hotspare-replicate -n "__fish_hotspare_replicate_needs_command" -l node -d 'The node that this machine is, if it is not called like its host' -r
complete -c hotspare-replicate -n "__fish_hotspare_replicate_needs_command" -s h -l help -d 'Print help'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_needs_command" -f -a "create" -d 'Make this node\'s copy. Once, on each candidate; on one of them with --first'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_needs_command" -f -a "run" -d 'Run the copy: be written to, or take in what another node writes. hotspare-replicate@VOLUME.service does this'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_needs_command" -f -a "serve" -d 'Have the volume ready for its user for as long as this runs. hotspare-volume@VOLUME.service does this'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_needs_command" -f -a "end" -d 'End the block device that a holder has left which was killed: what is under way fails, and so does what comes later. hotspare-volume-end@VOLUME.service does this. One that is served is left alone'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_needs_command" -f -a "verify" -d 'Look whether all copies are the same, while they are written to; what differs is copied again. On the node that leads; exits with 1 if something differed. hotspare-verify@VOLUME.timer does this once a week'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_needs_command" -f -a "resize" -d 'Show its user as much as all copies have room for. On the node that leads, when every backing was made larger and every hotspare-replicate@VOLUME.service restarted. The file system on it is made larger after that, by its own tool'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_needs_command" -f -a "status" -d 'Say how the copies are'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand create" -l format -d 'Make a file system on it first; what is on the backing is lost' -r -f -a "ext4\t''
xfs\t''
btrfs\t''"
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand create" -l first -d 'The data is here: what is on the backing stays, and the others become copies of it'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand create" -l again -d 'Also over a copy that is there already, which is lost'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand create" -s h -l help -d 'Print help'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand run" -s h -l help -d 'Print help'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand serve" -s h -l help -d 'Print help'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand end" -s h -l help -d 'Print help'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand verify" -s h -l help -d 'Print help'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand resize" -s h -l help -d 'Print help'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand status" -l json -d 'For scripts'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand status" -s h -l help -d 'Print help'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand help; and not __fish_seen_subcommand_from create run serve end verify resize status help" -f -a "create" -d 'Make this node\'s copy. Once, on each candidate; on one of them with --first'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand help; and not __fish_seen_subcommand_from create run serve end verify resize status help" -f -a "run" -d 'Run the copy: be written to, or take in what another node writes. hotspare-replicate@VOLUME.service does this'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand help; and not __fish_seen_subcommand_from create run serve end verify resize status help" -f -a "serve" -d 'Have the volume ready for its user for as long as this runs. hotspare-volume@VOLUME.service does this'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand help; and not __fish_seen_subcommand_from create run serve end verify resize status help" -f -a "end" -d 'End the block device that a holder has left which was killed: what is under way fails, and so does what comes later. hotspare-volume-end@VOLUME.service does this. One that is served is left alone'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand help; and not __fish_seen_subcommand_from create run serve end verify resize status help" -f -a "verify" -d 'Look whether all copies are the same, while they are written to; what differs is copied again. On the node that leads; exits with 1 if something differed. hotspare-verify@VOLUME.timer does this once a week'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand help; and not __fish_seen_subcommand_from create run serve end verify resize status help" -f -a "resize" -d 'Show its user as much as all copies have room for. On the node that leads, when every backing was made larger and every hotspare-replicate@VOLUME.service restarted. The file system on it is made larger after that, by its own tool'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand help; and not __fish_seen_subcommand_from create run serve end verify resize status help" -f -a "status" -d 'Say how the copies are'
complete -c hotspare-replicate -n "__fish_hotspare_replicate_using_subcommand help; and not __fish_seen_subcommand_from create run serve end verify resize status help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
