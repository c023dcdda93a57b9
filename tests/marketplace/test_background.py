"""Background work: a real worker and a real beat, over every broker that Tank may be given."""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import Empty
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from celery import Celery
from kombu import Connection

from marketplace.broker import Transport
from marketplace.celery import app
from tests.conftest import FreshDatabase
from tests.processes import Running, start_process, until

CELERY = (sys.executable, "-m", "celery", "-A", "marketplace.celery")
QUIET = ("--without-gossip", "--without-mingle", "--loglevel=DEBUG")
SERVERS = {
    "redis": os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/15"),
    "rabbitmq": os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//"),
}


def broker_url(name: str) -> str:
    """Return a broker's address; skips the test when nobody listens there."""
    if name == "filesystem":
        return "filesystem://localhost"
    address = urlsplit(SERVERS[name])
    try:
        socket.create_connection((address.hostname or "", address.port or 0), timeout=2).close()
    except OSError as error:
        pytest.skip(f"no {name} at {address.hostname}:{address.port}: {error}")
    return SERVERS[name]


def environment(database: FreshDatabase, url: str) -> dict[str, str]:
    return database.env | {"CELERY_BROKER_URL": url, "LOG_LEVEL": "debug"}


def sender(env: Mapping[str, str]) -> Celery:
    """Return a sender to the broker that processes with this environment use, with a queue of the test's own."""
    celery = Celery("sender", broker=env["CELERY_BROKER_URL"], set_as_current=False)
    if env["CELERY_BROKER_URL"].startswith("filesystem"):
        queue, control = f"{env['TANK_DATA']}/broker/queue", f"{env['TANK_DATA']}/broker/control"
        celery.conf.broker_transport_options = {
            "data_folder_in": queue,
            "data_folder_out": queue,
            "control_folder": control,
        }
    return celery


def is_ready(running: Running) -> bool:
    return " ready." in running.output


@pytest.mark.parametrize("broker", ["filesystem", "redis", "rabbitmq"])
def test_a_worker_does_what_it_is_told_and_doing_it_twice_does_no_harm(
    fresh_database: FreshDatabase, broker: str
) -> None:
    env = environment(fresh_database, broker_url(broker))
    queue = f"tank-test-{fresh_database.name}"
    worker = [*CELERY, "worker", "--pool=threads", "--concurrency=1", "--queues", queue, *QUIET]
    with start_process(worker, env, ready=is_ready) as running:
        celery = sender(env)
        for _ in range(2):
            celery.send_task("allocations.tasks.sweep", queue=queue)

        until(lambda: running.output.count("Task allocations.tasks.sweep") >= 4, within=30)

        assert running.output.count("] succeeded in") == 2
    with celery, celery.connection_for_write() as connection:
        cast(Any, connection.default_channel).queue_delete(queue)


@pytest.mark.slow
def test_the_worker_of_up_runs_the_beat_too(fresh_database: FreshDatabase) -> None:
    args = [sys.executable, "-m", "marketplace.runtime.worker"]
    with start_process(args, environment(fresh_database, "filesystem://localhost")) as running:
        until(lambda: "Task allocations.tasks.sweep" in running.output and "succeeded" in running.output, within=60)


def test_everything_that_is_scheduled_exists() -> None:
    app.loader.import_default_modules()

    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)


def test_a_message_in_the_folder_is_whole_and_taken_once(tmp_path: Path) -> None:
    """Many take while many put: nobody sees half a message, none is lost or seen twice."""
    channels = [_channel(tmp_path) for _ in range(4)]
    taken: list[int] = []

    def put(start: int) -> None:
        for number in range(start, start + 50):
            channels[start // 50]._put("work", {"number": number, "padding": "x" * 10_000})

    def take(channel: Any) -> None:
        while len(taken) < 100:
            if channel._size("work"):
                _take_one(channel, taken)

    threads = [threading.Thread(target=put, args=(start,)) for start in (0, 50)]
    threads += [threading.Thread(target=take, args=(channel,)) for channel in channels[2:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(taken) == list(range(100))
    assert list((tmp_path / "queue").iterdir()) == []


def _take_one(channel: Any, taken: list[int]) -> None:
    with contextlib.suppress(Empty):  # somebody else was faster
        taken.append(channel._get("work")["number"])


def _channel(folder: Path) -> Any:
    options = {
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "queue"),
        "control_folder": str(folder / "control"),
    }
    for path in options.values():
        Path(path).mkdir(exist_ok=True)
    return Connection("filesystem://localhost", transport=Transport, transport_options=options).channel()
