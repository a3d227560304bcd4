# What the machines of the lab can beyond those of the NixOS driver, so that a scenario reads the same on both.


def _both_links(state):
    def act(self):
        for network in (1, 2):
            self.send_monitor_command(f"set_link virtio-net-pci.{network} {state}")

    return act


def _one_link(state):
    return lambda self, network: self.send_monitor_command(f"set_link virtio-net-pci.{network} {state}") and None


def _reboot(self):
    self.shutdown()
    self.start()


_machine = type(machines[0])
_machine.block, _machine.unblock = _both_links("off"), _both_links("on")
_machine.block_network, _machine.unblock_network = _one_link("off"), _one_link("on")
_machine.freeze = lambda self: self.send_monitor_command("stop") and None
_machine.thaw = lambda self: self.send_monitor_command("cont") and None
_machine.reboot = _reboot

