"""`manage.py up`: one command starts everything, and nothing of it is left when it ends."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.conftest import FreshDatabase
from tests.processes import MANAGE, ROOT, Running, answers, free_port, is_alive, manage, start_process, until

pytestmark = pytest.mark.slow


@contextmanager
def up(env: Mapping[str, str], port: int, *options: str) -> Iterator[Running]:
    """Run `manage.py up` until it says that it is ready."""
    args = [*MANAGE, "up", "--port", str(port), *options]
    with start_process(args, env, ready=lambda running: "Ctrl-C stops it." in running.output, within=180) as running:
        yield running


def children_of(pid: int) -> set[int]:
    """Return every process that runs under this one, however deep."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
    found: set[int] = set()
    while new := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= new
    return found


def server_of(data: Path) -> int:
    """Return the process id of the embedded database server."""
    return int((data / "postgres" / "postmaster.pid").read_text().splitlines()[0])


@pytest.fixture
def embedded_env(tmp_path: Path) -> dict[str, str]:
    """An environment in which Tank brings its own database."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "TANK_", "DJANGO_"))}
    return kept | {"TANK_DATA": str(tmp_path / "data")}


def test_up_brings_its_own_database_and_leaves_nothing_running(embedded_env: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with up(embedded_env, port, "--no-demo") as running:
        started = children_of(running.pid) | {server_of(tmp_path / "data")}
        assert len(started) == 3  # web, worker, and the database server
        assert answers(f"http://127.0.0.1:{port}/healthz")
        assert answers(f"http://127.0.0.1:{port}/readyz")
        assert answers(f"http://127.0.0.1:{port}/static/plotly/plotly.min.js")
        assert answers(f"http://127.0.0.1:{port}/v1/models", status=401)
        assert answers(f"http://127.0.0.1:{port}/sandbox/v1/models")

        running.send(signal.SIGINT)
        assert running.ended() == 0

    assert "Traceback" not in running.output
    assert [pid for pid in started if is_alive(pid)] == []


def test_a_restart_keeps_all_data_even_after_kill_9(embedded_env: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with up(embedded_env, port, "--no-demo") as running:
        started = children_of(running.pid) | {server_of(tmp_path / "data")}
        funded = manage("fund", "--amount", "1000.00", "--reason", "The year's budget", "--json", env=embedded_env)
        assert (funded.returncode, funded.stderr) == (0, "")
        running.send(signal.SIGKILL)
        running.ended()
        until(lambda: not any(map(is_alive, started)), within=30, what="the end of what it started")

    with up(embedded_env, port, "--no-demo") as running:
        funded = manage("fund", "--amount", "0.50", "--reason", "A little more", "--json", env=embedded_env)
        assert "1000.5" in funded.stdout
        running.send(signal.SIGTERM)
        assert running.ended() == 0


def test_two_on_the_same_data_and_a_taken_port_are_refused_in_one_line(fresh_database: FreshDatabase) -> None:
    port = free_port()
    with up(fresh_database.env, port, "--no-demo") as running:
        second = manage("up", "--port", str(free_port()), "--no-demo", env=fresh_database.env)
        elsewhere = fresh_database.env | {"TANK_DATA": str(fresh_database.data.parent / "other")}
        same_port = manage("up", "--port", str(port), "--no-demo", env=elsewhere)
        assert running.is_alive

    where = f"(process {running.pid}, http://127.0.0.1:{port})"
    assert (second.returncode, second.stderr) == (
        1,
        f"Tank already runs on {fresh_database.data} {where}: stop it first, or choose another folder with "
        "TANK_DATA.\n",
    )
    assert (same_port.returncode, same_port.stderr) == (
        1,
        f"Port {port} on 127.0.0.1 is taken by another program: choose another one with --port or PORT.\n",
    )


def test_a_process_that_crashes_is_started_again(fresh_database: FreshDatabase) -> None:
    port = free_port()
    with up(fresh_database.env, port, "--no-demo") as running:
        for pid in children_of(running.pid):
            os.kill(pid, signal.SIGKILL)
        until(lambda: running.output.count("starting it again") == 2, within=10)
        until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), within=30)

        assert "The web process ended (signal SIGKILL); starting it again now." in running.output
        assert "The worker process ended (signal SIGKILL); starting it again now." in running.output


def test_the_first_start_loads_the_demo_and_its_curl_line_works_as_printed(fresh_database: FreshDatabase) -> None:
    with up(fresh_database.env, free_port()) as running:
        curl = re.search(r"^ +(curl .*)$", running.output, re.MULTILINE)
        assert curl is not None
        answer = subprocess.run(["/bin/sh", "-c", curl[1]], capture_output=True, text=True, check=True)
        assert json.loads(answer.stdout)["choices"][0]["message"]["role"] == "assistant"
        assert "Log in with the password" in running.output
        running.send(signal.SIGTERM)
        assert running.ended() == 0

    with up(fresh_database.env, free_port()) as again:
        assert "Loading the demo data." not in again.output
        assert "A funded key: tank_" in again.output


def test_a_host_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "TANK_DATA": str(tmp_path), "DATABASE_URL": "postgresql://x@127.0.0.1:1/none"}

    done = manage("up", "--port", str(free_port()), "--no-demo", env=env)

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "The database cannot be reached: " in done.stderr


def test_readiness_is_truthful(fresh_database: FreshDatabase) -> None:
    port = free_port()
    health = f"http://127.0.0.1:{port}"
    gateway = [*MANAGE, "gateway", "--port", str(port)]
    with start_process(gateway, fresh_database.env, ready=lambda running: answers(f"{health}/readyz")):
        with psycopg.connect(fresh_database.url) as owner:
            owner.execute("DELETE FROM django_migrations WHERE id = (SELECT max(id) FROM django_migrations)")
        assert answers(f"{health}/readyz", status=503)
        assert answers(f"{health}/healthz")


def test_several_gateway_processes_share_a_port(fresh_database: FreshDatabase) -> None:
    port = free_port()
    gateway = [*MANAGE, "gateway", "--port", str(port), "--processes", "2"]
    with start_process(
        gateway, fresh_database.env, ready=lambda run: answers(f"http://127.0.0.1:{port}/readyz")
    ) as run:
        assert len(children_of(run.pid)) == 2
        run.send(signal.SIGTERM)
        assert run.ended() == 0


def test_a_socket_that_is_bound_but_not_served_is_a_taken_port(fresh_database: FreshDatabase) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        done = manage("gateway", "--port", str(port), env=fresh_database.env)

    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"Port {port} on 127.0.0.1 is taken by another program: choose another one with --port or PORT.\n"
    )


def test_a_body_larger_than_any_form_is_refused_before_it_is_read(fresh_database: FreshDatabase) -> None:
    port = free_port()
    with up(fresh_database.env, port, "--no-demo"), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST /account/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3000000\r\n\r\n")

        assert client.recv(12) == b"HTTP/1.1 413"


def test_the_makefile_names_what_the_contract_promises() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert targets >= {"setup", "run", "test", "lint", "bench", "screenshots"}
