complete -c vip-claim -s i -l interface -d 'The interface to put it on' -r
complete -c vip-claim -l group -d 'Hold the address only while this node holds the lease of GROUP; without this, as long as the program runs' -r
complete -c vip-claim -l lifetime -d 'Seconds until the kernel removes the address by itself [default: 3, or what the lease asks for]' -r
complete -c vip-claim -l no-probe -d 'Take the address without asking the neighbours first'
complete -c vip-claim -l once -d 'Add, announce and exit at once; the kernel removes the address when its lifetime is over'
complete -c vip-claim -s h -l help -d 'Print help (see more with \'--help\')'
