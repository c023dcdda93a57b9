"""Start everything on this machine: database, pages, gateway, background work."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, CommandParser, call_command
from django.db import Error, connection

from marketplace import embedded, env
from marketplace.runtime import announcement, health, lifeline, ownership, serving
from marketplace.runtime.supervisor import Child, Supervisor
from teams.commands import sentence
from teams.models import Team

HOST = "127.0.0.1"
READY_SECONDS = 120


class Stop(SystemExit):
    """Somebody asked Tank to stop."""


class Command(BaseCommand):
    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        port = env.number("PORT", 8000, least=1, most=65_535)
        parser.add_argument("--port", type=int, default=port, help="Port on 127.0.0.1 (PORT, or 8000).")
        parser.add_argument("--no-demo", action="store_true", help="Leave an empty database empty.")

    def handle(self, *args: Any, port: int, no_demo: bool, **options: Any) -> None:
        self.port, self.address = port, f"http://{HOST}:{port}"
        self.supervisor = Supervisor(self.say, serving.grace_seconds())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        try:
            self.run(with_demo=not no_demo)
        except Stop:
            self.say("Stopping.")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, self._hurry)
            self.supervisor.stop()
            embedded.release(settings.DATA_DIR)

    def run(self, *, with_demo: bool) -> None:
        """Start one thing after the other, say that Tank is ready, and look after it; ends by Stop."""
        ownership.take(settings.DATA_DIR, self.address)
        sock = serving.listener(HOST, self.port)
        os.environ["PORT"] = str(self.port)
        self.prepare_database(with_demo=with_demo)
        self.start_web(sock.fileno())
        self.wait_until_ready()
        self.start_worker()
        self.say(announcement.text(self.address, settings.DATA_DIR))
        while True:
            time.sleep(0.5)
            self.supervisor.revive()

    def prepare_database(self, *, with_demo: bool) -> None:
        """Start the database where Tank brings it, bring the schema up to date, load the demo into an empty one."""
        if embedded.is_used():
            self.say("Starting the database.")
            embedded.start(settings.DATA_DIR)
        try:
            if health.what_is_missing():
                call_command("migrate", interactive=False, verbosity=0)
            is_empty = not Team.objects.exists()
        except Error as error:
            raise CommandError(sentence(error)) from error
        finally:
            connection.close()
        if with_demo and is_empty:
            self.load_demo()

    def load_demo(self) -> None:
        """Load the demo data in a process of its own."""
        self.say("Loading the demo data.")
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "load_demo"]
        environment = os.environ | {"TANK_DB_ROLE": "owner", lifeline.VARIABLE: str(os.getpid())}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, start_new_session=True, check=False)
        if done.returncode != 0:
            raise CommandError("The demo data could not be loaded; `--no-demo` starts without.")

    def start_web(self, fd: int) -> None:
        """Start the web server, which is the gateway too."""
        self.say("Starting the web server.")
        arguments = ("-m", "marketplace.runtime.serving", "marketplace.asgi:application", "--fd", str(fd))
        self.supervisor.start(Child("web", arguments, self.environment(), fds=(fd,)))

    def start_worker(self) -> None:
        """Start the worker; after the web server, which people wait for and it would only slow down."""
        self.supervisor.start(Child("worker", ("-m", "marketplace.runtime.worker"), self.environment()))

    def environment(self) -> dict[str, str]:
        """Return what the processes get: ours, and the run-time role."""
        return os.environ | {"TANK_DB_ROLE": "app", "PYTHONUNBUFFERED": "1"}

    def wait_until_ready(self) -> None:
        """Wait until Tank says that it can work; raises CommandError when a process ends, or after two minutes."""
        last = time.monotonic() + READY_SECONDS
        while not _is_ready(self.address):
            if (child := self.supervisor.dead()) is not None:
                raise CommandError(f"The {child.name} process ended with exit code {child.exit_code} while starting.")
            if time.monotonic() > last:
                raise CommandError(f"Tank was not ready after {READY_SECONDS} seconds.")
            time.sleep(0.1)

    def say(self, message: str) -> None:
        """Print a line at once."""
        self.stdout.write(message)
        self.stdout.flush()

    def _hurry(self, number: int, frame: FrameType | None) -> None:
        self.supervisor.kill()


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stop(0)


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=10) as answer:  # noqa: S310  # our own address
            return bool(answer.status == 200)
    except OSError:
        return False
