"""The worker of `manage.py up`: runs tasks in threads, and the beat that starts them, in one process.

    python -m marketplace.runtime.worker

In production worker and beat are Celery's own commands, each a service of its own.
"""

import os
import warnings
from threading import Thread
from typing import Any, cast

from marketplace import embedded, env
from marketplace.runtime import lifeline

ARGUMENTS = [
    "--quiet",
    "worker",
    "--pool=threads",
    "--concurrency=2",
    "--without-gossip",
    "--without-mingle",
    "--loglevel=WARNING",
]


def main() -> None:
    """Work until SIGTERM or Ctrl-C."""
    lifeline.exit_on_sigterm()
    lifeline.hold()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    if embedded.is_used():
        embedded.start(env.data_folder())
    import django

    django.setup()
    from celery.exceptions import SecurityWarning
    from celery.signals import worker_ready

    from marketplace.celery import app

    # Root may run Tank on a machine of its own; messages are JSON, which is what the warning is about.
    warnings.simplefilter("ignore", SecurityWarning)
    worker_ready.connect(_start_beat, weak=False)
    app.worker_main(ARGUMENTS)


def _start_beat(sender: Any, **_: Any) -> None:
    """Start the beat as a thread: as a process of its own it would outlive a worker that is killed."""
    from celery.beat import EmbeddedService

    cast(Thread, EmbeddedService(sender.app, thread=True, scheduler_cls=sender.app.conf.beat_scheduler)).start()


if __name__ == "__main__":
    main()
