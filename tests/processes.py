"""Real processes for the tests: started, waited for by a condition, and ended with everything they started."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
MANAGE = (sys.executable, str(ROOT / "manage.py"))


@dataclass
class Running:
    """A process that runs, at the head of its own process group."""

    process: subprocess.Popen[bytes]
    log: Path
    kept: str = ""

    @property
    def pid(self) -> int:
        """Return the process id, which is the group's too."""
        return self.process.pid

    @property
    def output(self) -> str:
        """Return what it wrote so far, to stdout and stderr."""
        return self.kept or self.log.read_text(errors="replace")

    @property
    def is_alive(self) -> bool:
        """Say whether it has not ended."""
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        self.process.send_signal(number)

    def ended(self, *, within: float = 30) -> int:
        """Wait for its end and return the exit code; raises AssertionError when it takes longer."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within} s; it wrote:\n{self.output}") from None

    def end(self) -> None:
        """Kill the whole group."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self.kept = self.output or " "


@contextmanager
def start_process(
    args: Sequence[str | Path],
    env: Mapping[str, str],
    *,
    ready: Callable[[Running], bool] = lambda running: True,
    within: float = 60,
    cwd: Path = ROOT,
) -> Iterator[Running]:
    """Start a process, wait until it is ready, and kill its process group at the end.

    Raises AssertionError with what it wrote when it ends, or is not ready in time.
    """
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                args, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        running = Running(process, log)
        try:
            _wait_until_ready(running, ready, within)
            yield running
        finally:
            running.end()


def _wait_until_ready(running: Running, ready: Callable[[Running], bool], within: float) -> None:
    try:
        until(lambda: ready(running) or not running.is_alive, within=within)
    except AssertionError:
        raise AssertionError(f"not ready after {within} s; it wrote:\n{running.output}") from None
    if not running.is_alive and not ready(running):
        raise AssertionError(
            f"ended with {running.process.returncode} before it was ready; it wrote:\n{running.output}"
        )


def until(condition: Callable[[], bool], *, within: float = 10, what: str = "the condition") -> None:
    """Wait for a condition; raises AssertionError when it does not hold in time."""
    last = time.monotonic() + within
    while not condition():
        if time.monotonic() > last:
            raise AssertionError(f"{what} did not hold within {within} s")
        time.sleep(0.02)


def manage(*args: str, env: Mapping[str, str], within: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a management command to its end."""
    return subprocess.run(
        [*MANAGE, *args], env=env, cwd=ROOT, capture_output=True, text=True, timeout=within, check=False
    )


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_open(port: int) -> bool:
    """Say whether somebody listens on a port of this machine."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str, status: int = 200) -> bool:
    """Say whether a GET of this address is answered with this status."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code == status
    except OSError:
        return False
