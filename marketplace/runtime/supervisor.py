"""Keep child processes alive, and end all of them together."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from marketplace.runtime import lifeline

LONGEST_PAUSE_SECONDS = 30
STEADY_SECONDS = 60


@dataclass
class Child:
    """A process that is started again when it ends by itself."""

    name: str
    arguments: Sequence[str]
    env: Mapping[str, str]
    fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    again_at: float = 0.0
    failures: int = field(default=0)

    def start(self) -> None:
        """Start it in a session of its own: Ctrl-C in the terminal reaches the parent alone."""
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *self.arguments],
            env={**self.env, lifeline.VARIABLE: str(os.getpid())},
            pass_fds=self.fds,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def exit_code(self) -> int | None:
        """Return how it ended, None while it runs."""
        return self.process.poll() if self.process else None


class Supervisor:
    """Starts children, restarts those that end, stops them all."""

    def __init__(self, say: Callable[[str], None], grace_seconds: float) -> None:
        self.say = say
        self.grace_seconds = grace_seconds
        self.children: list[Child] = []

    def start(self, child: Child) -> None:
        """Start a child and look after it from now on."""
        self.children.append(child)
        child.start()

    def dead(self) -> Child | None:
        """Return a child that has ended, if there is one."""
        return next((child for child in self.children if child.exit_code is not None), None)

    def revive(self) -> None:
        """Start again what has ended, at once the first time and then ever later."""
        now = time.monotonic()
        for child in self.children:
            if child.process is not None and child.exit_code is not None:
                self._plan_restart(child, now)
            if child.process is None and now >= child.again_at:
                child.start()

    def _plan_restart(self, child: Child, now: float) -> None:
        child.failures = 0 if now - child.started > STEADY_SECONDS else child.failures + 1
        pause = min(2**child.failures - 1 if child.failures > 1 else 0, LONGEST_PAUSE_SECONDS)
        when = f"in {pause} s" if pause else "now"
        self.say(f"The {child.name} process ended ({_how(child.exit_code)}); starting it again {when}.")
        child.process, child.again_at = None, now + pause

    def stop(self) -> None:
        """Ask every child to end, and kill what has not ended after the grace time."""
        running = [child.process for child in self.children if child.process and child.exit_code is None]
        for process in running:
            process.terminate()
        last = time.monotonic() + self.grace_seconds
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, last - time.monotonic()))
        self.kill()

    def kill(self) -> None:
        """Kill every child, with what it started."""
        for child in self.children:
            if child.process is not None and child.exit_code is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()


def _how(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"signal {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"
