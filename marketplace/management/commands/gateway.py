"""Serve the gateway alone: /v1 and the process's health. Any number of them share nothing but the database."""

import os
import signal
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

from django.core.management import BaseCommand, CommandParser

from marketplace import env
from marketplace.runtime import serving
from marketplace.runtime.supervisor import Child, Supervisor

APPLICATION = "marketplace.gateway:application"
METRICS = "GATEWAY_METRICS_ADDRESS"


class Command(BaseCommand):
    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument(
            "--processes", type=int, default=1, help="How many share the port; one runs in this process."
        )

    def handle(self, *args: Any, port: int, host: str, processes: int, **options: Any) -> None:
        sock = serving.listener(host, port)
        if processes == 1:
            serving.serve(APPLICATION, sock)
            return
        supervisor = Supervisor(self.stdout.write, serving.grace_seconds())
        signal.signal(signal.SIGINT, _stop)
        signal.signal(signal.SIGTERM, _stop)
        arguments = ("-m", "marketplace.runtime.serving", APPLICATION, "--fd", str(sock.fileno()))
        try:
            for number in range(processes):
                child = Child(f"gateway {number + 1}", arguments, _environment(number), fds=(sock.fileno(),))
                supervisor.start(child)
            while True:
                time.sleep(0.5)
                supervisor.revive()
        finally:
            supervisor.stop()


def _environment(number: int) -> Mapping[str, str]:
    """Return a process's environment: ours, and for its metrics the port that many above the one we were given."""
    address = env.address(METRICS)
    if address is None:
        return os.environ
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return os.environ | {METRICS: f"{host}:{address[1] + number}"}


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
