"""A machine of the lab, with the interface of the NixOS test driver (docs: nixos.org/manual, "NixOS tests").

What differs between backends is how a machine boots, dies and loses its network: see nspawn.py. Everything else is
here, so that a scenario reads the same on every backend.
"""

from __future__ import annotations

import base64
import shlex
import sys
import time
from contextlib import contextmanager


def until(check, timeout: float):
    """Asks `check` for what it waits for until it has it, for at most so many seconds: nothing tells of it across a namespace border."""
    deadline = time.monotonic() + timeout
    while (found := check()) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def up_to_now(command: str) -> str:
    """A command that reads the journal finds what was said before it: journald takes its time on a busy machine. One
    that hangs is not waited for."""
    reads = "journalctl" in command or "hotspare events" in command
    return f"timeout 5 journalctl --sync || true\n{command}" if reads else command


class RequestedAssertionFailed(Exception):
    """A command of the scenario did not end as it had to."""


class MachineError(Exception):
    """The lab itself failed."""


class Log:
    """Progress on the terminal: quiet by default, nested by subtest."""

    def __init__(self, verbose: bool, prefix: str = "") -> None:
        """`prefix`: whose lines these are, where several labs print."""
        self.verbose, self.prefix = verbose, prefix
        self.depth = 0
        self.started = time.monotonic()

    def line(self, text: str, always: bool = False) -> None:
        if self.verbose or always:
            print(f"{self.prefix}{time.monotonic() - self.started:7.2f} s  {'  ' * self.depth}{text}", flush=True)

    def info(self, text: str) -> None:
        self.line(text, always=True)

    @contextmanager
    def nested(self, text: str):
        self.info(text)
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1


class Machine:
    def __init__(self, name: str, log: Log) -> None:
        self.name = name
        self.log_ = log
        self.booted = False

    # ---- to be provided by a backend: start, run, crash, block, unblock, freeze, thaw ----

    def start(self, allow_reboot: bool = False) -> None:
        raise NotImplementedError

    def run(self, command: str, timeout: float | None) -> tuple[int, str]:
        raise NotImplementedError

    # ---- commands ----

    def execute(self, command: str, check_return: bool = True, check_output: bool = True, timeout: int | None = 900):
        if not self.booted:
            self.start()
            self.wait_booted()
        self.log_.line(f"{self.name}: {command}")
        status, output = self.run(command, timeout)
        return (status if check_return else -1), (output if check_output else "")

    def succeed(self, *commands: str, timeout: int | None = None) -> str:
        output = ""
        for command in commands:
            status, text = self.execute(up_to_now(command), timeout=timeout)
            if status != 0:
                raise RequestedAssertionFailed(f"{self.name}: `{command}` failed (exit code {status})\n{text}")
            output += text
        return output

    def fail(self, *commands: str, timeout: int | None = None) -> str:
        output = ""
        for command in commands:
            status, text = self.execute(up_to_now(command), timeout=timeout)
            if status == 0:
                raise RequestedAssertionFailed(f"{self.name}: `{command}` unexpectedly succeeded\n{text}")
            output += text
        return output

    def _until(self, what: str, check, timeout: float):
        last = ""

        def done():
            nonlocal last
            well, last = check()
            return last if well else None

        if until(done, timeout) is None:
            raise RequestedAssertionFailed(f"{self.name}: {what}: not within {timeout} s; last seen: {last}")
        return last

    def wait_until_succeeds(self, command: str, timeout: int = 30) -> str:
        def check():
            status, text = self.execute(command)
            return status == 0, text

        return self._until(f"`{command}` should succeed", check, timeout)

    def wait_until_fails(self, command: str, timeout: int = 30) -> str:
        def check():
            status, text = self.execute(command)
            return status != 0, text

        return self._until(f"`{command}` should fail", check, timeout)

    # ---- units ----

    def systemctl(self, args: str, user: str | None = None) -> tuple[int, str]:
        return self.execute(f"systemctl {args}")

    def get_unit_info(self, unit: str, user: str | None = None) -> dict[str, str]:
        text = self.succeed(f"systemctl --no-pager show {shlex.quote(unit)}")
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def get_unit_property(self, unit: str, prop: str, user: str | None = None) -> str:
        return self.succeed(f"systemctl --no-pager show --value -p {prop} {shlex.quote(unit)}").strip()

    def wait_for_unit(self, unit: str, user: str | None = None, timeout: int = 30) -> None:
        def check():
            state = self.get_unit_property(unit, "ActiveState")
            if state == "failed":
                raise RequestedAssertionFailed(f'{self.name}: unit "{unit}" reached state "failed"')
            return state == "active", state

        self._until(f'unit "{unit}" should become active', check, timeout)

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        state = self.get_unit_property(unit, "ActiveState")
        if state != require_state:
            raise RequestedAssertionFailed(f'{self.name}: unit "{unit}" is {state}, not {require_state}')

    def start_job(self, unit: str, user: str | None = None) -> tuple[int, str]:
        return self.systemctl(f"start {unit}")

    def stop_job(self, unit: str, user: str | None = None) -> tuple[int, str]:
        return self.systemctl(f"stop {unit}")

    # ---- files and ports ----

    def wait_for_file(self, filename: str, timeout: int = 30) -> None:
        self.wait_until_succeeds(f"test -e {shlex.quote(filename)}", timeout)

    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: int = 30) -> None:
        self.wait_until_succeeds(f"nc -z {addr} {port}", timeout)

    def wait_for_closed_port(self, port: int, addr: str = "localhost", timeout: int = 30) -> None:
        self.wait_until_fails(f"nc -z {addr} {port}", timeout)

    # ---- the rest ----

    def copy_text(self, path: str, text: str) -> None:
        """Writes a file there, whatever is in it."""
        encoded = base64.b64encode(text.encode()).decode()
        self.succeed(f"echo {encoded} | base64 -d > {shlex.quote(path)}")

    def wait_booted(self) -> None:
        self._until("should boot", lambda: (self.run("systemctl is-system-running --wait", 60)[0] in (0, 1), ""), 60)

    def log(self, text: str) -> None:
        self.log_.line(f"{self.name}: {text}", always=True)

    def nested(self, text: str):
        return self.log_.nested(f"{self.name}: {text}")

    def is_up(self) -> bool:
        return self.booted


def fail_loudly(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
