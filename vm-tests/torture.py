"""Random faults on a whole cluster, for as long as one likes: `make torture MINUTES=30 SEED=7`.

In rounds: a fresh cluster, a client that asks every 2 ms, fifteen faults of a kind and at moments that the seed decides,
then everything is put right and it must heal. What fails it: two nodes answering at once (the client's history, laid over
the tenures that the voters recorded, must be linearizable), an address or a service left where it does not belong, a
cluster that does not heal. Every other round has a volume, and clients who write and read what is on it: that history must be
linearizable as well.
"""

from __future__ import annotations

import json
import random
import time

from machine import MachineError, RequestedAssertionFailed
from tenures import explain
from volumes import REGISTER, make_copies, registers_are_linearizable, wait_equal, watch_registers

FAULTS = 15
VOLUME = """    volume "data" { backing "/var/lib/data.img"; frontend "socket"; }
    unit "register.service"
"""


class Round:
    def __init__(self, lab, seed: int) -> None:
        self.lab, self.rng, self.did = lab, random.Random(seed), []
        self.alpha, self.beta, self.witness, self.client = (lab.machines[n] for n in ("alpha", "beta", "witness", "client"))
        self.stopped: list[tuple[object, str]] = []
        self.cuts = False
        self.by_hand = False
        self.volume = has_volume(seed)
        self.killable = ["hotspare-leased", "hotspare-arbiter", "hotspare-heartbeat", "cluster-lease", "cluster-address-1"]
        self.stoppable = ["hotspare-leased", "hotspare-arbiter", "cluster-lease"]
        if self.volume:
            self.killable += ["hotspare-replicate@data", "register"]
            self.stoppable += ["hotspare-replicate@data"]

    def up(self, *machines):
        return [machine for machine in machines if machine.process]

    def data(self):
        return self.rng.choice([self.alpha, self.beta])

    def questions(self, many: int) -> None:
        """So many questions of one more client later, whether or not anybody answers."""
        self.client.succeed(f"for _ in $(seq {many}); do curl -s -o /dev/null --max-time 0.02 http://vip/who || true; done", timeout=60)

    # Each fault says what it did, or nothing if it could not.
    def crash(self):
        node = self.rng.choice([self.alpha, self.beta, self.alpha, self.beta, self.witness])
        if node.process:
            node.crash()
            return f"{node.name}: power cut"

    def power_on(self):
        for node in (self.alpha, self.beta, self.witness):
            if not node.process:
                node.start()
                return f"{node.name}: power on"

    def cut(self):
        node = self.rng.choice([self.alpha, self.beta, self.witness])
        if node.process:
            node.block()
            self.cuts = True
            return f"{node.name}: cut off"

    def cut_one(self):
        node, vlan = self.data(), self.rng.choice([1, 2])
        if node.process:
            node.block_network(vlan)
            self.cuts = True
            return f"{node.name}: network {vlan} cut"

    def heal(self):
        healed, self.cuts = self.cuts, False
        for node in self.up(self.alpha, self.beta, self.witness):
            node.unblock()
        return "all cuts healed" if healed else None

    def freeze(self):
        node = self.data()
        if node.process:
            node.freeze()
            self.questions(self.rng.randrange(5, 250))
            node.thaw()
            return f"{node.name}: frozen for a while"

    def kill(self):
        node, unit = self.data(), self.rng.choice(self.killable)
        if node.process:
            node.execute(f"systemctl kill -s KILL {unit}.service")
            return f"{node.name}: {unit} killed"

    def stop(self):
        node, unit = self.data(), self.rng.choice(self.stoppable)
        if node.process:
            node.execute(f"systemctl kill -s STOP {unit}.service")
            self.stopped.append((node, unit))
            return f"{node.name}: {unit} stopped (SIGSTOP)"

    def go_on(self):
        for node, unit in self.stopped:
            if node.process:
                node.execute(f"systemctl kill -s CONT {unit}.service")
        stopped, self.stopped = self.stopped, []
        return "what was stopped goes on" if stopped else None

    def job(self):
        node = self.data()
        job = self.rng.choice([
            "start --no-block cluster-primary.target", "start --no-block cluster-standby.target", "isolate --no-block cluster-primary.target",
            "start --no-block nginx.service", "stop --no-block nginx.service", "start --no-block multi-user.target",
            "daemon-reload", "daemon-reexec", "restart --no-block hotspare-leased", "restart --no-block hotspare-arbiter",
            "restart --no-block dbus", "restart --no-block systemd-journald", "kill -s TERM cluster-lease.service",
        ])
        if node.process:
            node.execute(f"systemctl {job}")
            self.by_hand |= job.startswith("stop")
            return f"{node.name}: systemctl {job}"

    def switchover(self):
        node = self.data()
        if node.process:
            node.execute("timeout 5 hotspare switchover")
            return f"{node.name}: hotspare switchover"

    def reboot(self):
        node = self.data()
        if node.process:
            # As `systemctl poweroff` without logind, which does not survive a restart of dbus-daemon (systemd(1), SIGRTMIN+4).
            node.execute("kill -s RTMIN+4 1")
            node.wait_for_shutdown()
            node.start()
            node.wait_booted()
            return f"{node.name}: rebooted"

    def play(self) -> None:
        if self.volume:
            make_copies(self.alpha, self.beta, user="register", unit=REGISTER)
        for machine in self.lab.machines.values():
            machine.start()
        self.calm()
        if self.volume:
            watch_registers(self.client)
        self.client.succeed("systemd-run -q --unit=watcher -p Type=notify lab-client 192.0.2.100:80 --out /tmp/seen --history /tmp/history")
        kinds = [self.crash, self.power_on, self.power_on, self.cut, self.cut_one, self.heal, self.heal, self.freeze, self.kill,
                 self.kill, self.stop, self.go_on, self.job, self.job, self.job, self.switchover, self.reboot]
        while len(self.did) < FAULTS:
            said = self.rng.choice(kinds)()
            if said:
                self.did.append(said)
                self.questions(self.rng.randrange(125))
        self.go_on()
        self.heal()
        for machine in (self.alpha, self.beta, self.witness):
            if not machine.process:
                machine.start()
        self.calm()
        self.client.succeed("systemctl stop watcher")
        self.check()
        if self.volume:
            self.did.append(registers_are_linearizable(self.client))

    def calm(self) -> None:
        """Whoever was made to be off stands by again, as an operator would make it; then one leads, the other is ready."""
        deadline = time.monotonic() + 100
        while True:
            roles = {}
            for node in (self.alpha, self.beta):
                code, said = node.execute("hotspare status --json", timeout=20)
                try:
                    group = json.loads(said)["groups"][0]
                except (ValueError, KeyError, IndexError, TypeError):
                    group = {"role": f"? ({code})", "state": ""}
                roles[node.name] = group["role"]
                if group["role"] == "off" or "waiting for the proof" in group["state"]:
                    node.execute("systemctl start cluster-prove.service; systemctl start --no-block cluster-standby.target")
                if group["role"] == "primary" and self.by_hand:
                    # What somebody stopped by hand, somebody starts again.
                    node.execute("systemctl start --no-block nginx.service")
                if "abstains" in group["state"] and "primary" not in roles.values() and time.monotonic() > deadline - 80:
                    node.execute("timeout 5 hotspare switchover")
            code, who = self.client.execute("curl -sf --max-time 1 http://vip/who", timeout=20)
            if sorted(roles.values()) == ["primary", "standby"] and code == 0:
                leader = next(name for name, role in roles.items() if role == "primary")
                if who.strip() == leader and self.equal(leader, deadline):
                    return self.nothing_left(leader)
            if time.monotonic() > deadline:
                raise RequestedAssertionFailed(f"it does not heal: {roles}, the client hears {who.strip()!r}")

    def equal(self, leader: str, deadline: float) -> bool:
        """The other copy counts and has everything."""
        if self.volume:
            nodes = (self.alpha, self.beta) if leader == "alpha" else (self.beta, self.alpha)
            wait_equal(*nodes, timeout=max(1, int(deadline - time.monotonic())))
        return True

    def nothing_left(self, leader: str) -> None:
        other = self.beta if leader == "alpha" else self.alpha
        code, said = other.execute("ip -o addr show to 192.0.2.100; systemctl is-active nginx.service cluster-lease.service cluster-primary.target | grep -x active", timeout=20)
        if said.strip():
            raise RequestedAssertionFailed(f"left on {other.name}, which does not lead: {said.strip()}")

    def check(self) -> None:
        """The client's answers, and the tenures as the voters recorded them: one history."""
        said = explain(self.client, (self.alpha, self.beta, self.witness), "/tmp/history")
        seen = json.loads(self.client.succeed("cat /tmp/seen"))
        self.did.append(f"{said}; {seen['answers']} answers, longest outage {seen['outage_ms']:.0f} ms")


def has_volume(seed: int) -> bool:
    return seed % 2 == 1


def run(make, minutes: float, seed: int | None) -> int:
    began, number = time.monotonic(), 0
    first = seed if seed is not None else random.SystemRandom().randrange(1 << 30)
    print(f"torture: {minutes:g} minutes from seed {first}", flush=True)
    faults = 0
    while time.monotonic() - began < minutes * 60:
        seed = first + number
        lab = make(VOLUME if has_volume(seed) else "")
        one = Round(lab, seed)
        try:
            one.play()
        except (RequestedAssertionFailed, AssertionError, MachineError) as error:
            print(f"FAILED round {number}, seed {seed}: {error}")
            for line in one.did:
                print(f"    {line}")
            for name, machine in lab.machines.items():
                if name != "client" and machine.process:
                    print(f"--- {name}\n{machine.run('hotspare status; systemctl list-jobs --no-pager; journalctl -b --no-pager -o short-precise -n 60', 20)[1]}")
            print("0 passed, 1 failed")
            return 1
        finally:
            lab.release()
        faults += FAULTS
        number += 1
        print(f"round {number} (seed {seed}): " + "; ".join(one.did), flush=True)
    print(f"{number} rounds, {faults} faults, nothing broken in {(time.monotonic() - began) / 60:.1f} minutes")
    return 0
