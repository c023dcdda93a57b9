"""The image's build and start steps, in a clean folder, against a real PostgreSQL and Redis."""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
import yaml
from cryptography.fernet import Fernet
from psycopg import sql

from marketplace.runtime.serving import SETTLE_SECONDS, SIGN_OFF_SECONDS
from tests.marketplace.test_background import broker_url
from tests.marketplace.test_settings import names_documented
from tests.processes import ROOT, answers, free_port, start_process, until

DOCKER = ROOT / "docker"
SERVER = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
DATABASE, OWNER = "tank_image_test", "tank_image_test_owner"
LOGIN = "/account/login/"
# What start.sh reads besides the settings.
OF_THE_IMAGE = {"GATEWAY_PROCESSES", "WORKER_CONCURRENCY"}


def compose() -> dict[str, Any]:
    document = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    assert isinstance(document, dict)
    return document


def ours() -> dict[str, dict[str, Any]]:
    """Return the services that run our image."""
    return {name: service for name, service in compose()["services"].items() if service["image"] == "tank"}


@contextmanager
def roles_and_database() -> Iterator[None]:
    """Make roles and database as the database service does on its first start; skip without a server."""
    server = urlsplit(SERVER)
    try:
        with psycopg.connect(SERVER, connect_timeout=2):
            pass
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at {server.hostname}: {error}")
    if shutil.which("psql") is None:
        pytest.skip("no psql, which the database's image has")
    env = {
        "PATH": os.environ["PATH"],
        "PGHOST": server.hostname or "",
        "PGPORT": str(server.port or 5432),
        "PGPASSWORD": server.password or "",
        "POSTGRES_USER": server.username or "postgres",
        "TANK_DATABASE": DATABASE,
        "TANK_OWNER": OWNER,
        "TANK_OWNER_PASSWORD": "owner-pw",
        "TANK_APP_PASSWORD": "app-pw",
    }
    drop_database()
    try:
        for _ in range(2):  # the second time changes nothing
            done = subprocess.run([DOCKER / "roles.sh"], env=env, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
        yield
    finally:
        drop_database()


def drop_database() -> None:
    with psycopg.connect(SERVER, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(DATABASE)))
        server.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(OWNER)))


def address(user: str, password: str) -> str:
    server = urlsplit(SERVER)
    return f"postgresql://{user}:{password}@{server.hostname}:{server.port or 5432}/{DATABASE}"


def build(target: Path) -> None:
    """Build what the image holds from what its build context lets in."""
    source = target.parent / "source"
    source.mkdir()
    for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines():
        if line.startswith("!"):
            part = ROOT / line[1:]
            if part.is_dir():
                shutil.copytree(part, source / part.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(part, source / part.name)
    python = os.environ | {"PYTHON": sys.executable}
    subprocess.run([source / "docker" / "build.sh", source, target], env=python, check=True, timeout=600)
    shutil.rmtree(source)


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every file with its size and time of change."""
    stats = {str(path): path.lstat() for path in folder.rglob("*")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def environment(data: Path, broker: str, **changes: str) -> dict[str, str]:
    """Return what compose.yaml gives the processes, and nothing else."""
    return {
        "PATH": os.environ["PATH"],
        "TANK_DATA": str(data),
        "TANK_URL": "https://tank.example",
        "ALLOWED_HOSTS": "tank.example",
        "SECRET_KEY": "x" * 60,
        "TANK_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "DATABASE_URL": address("tank_app", "app-pw"),
        "CELERY_BROKER_URL": broker,
        **changes,
    }


def get(port: int, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    """GET a page as a proxy in front of Tank would."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}


@pytest.mark.slow
def test_the_image_builds_and_every_process_of_it_works_without_writing_to_it(tmp_path: Path) -> None:
    broker = broker_url("redis").rsplit("/", 1)[0] + "/14"
    image, data = tmp_path / "image", tmp_path / "data"
    start = str(image / "app" / "docker" / "start.sh")
    with roles_and_database(), ExitStack() as processes:
        build(image)
        before = files_of(image)
        env = environment(data, broker)
        owner = env | {"DATABASE_OWNER_URL": address(OWNER, "owner-pw")}
        migrated = subprocess.run([start, "migrate"], env=owner, capture_output=True, text=True, check=False)
        assert (migrated.returncode, migrated.stderr) == (0, "")
        ports = {name: free_port() for name in ("web", "gateway")}
        for name, port in ports.items():
            processes.enter_context(
                start_process(
                    [start, name],
                    env | {"PORT": str(port)},
                    ready=lambda _, port=port: answers(f"http://127.0.0.1:{port}/readyz"),  # type: ignore[misc]
                )
            )
            assert subprocess.run([start, "health"], env=env | {"PORT": str(port)}, check=False).returncode == 0
        worker = processes.enter_context(start_process([start, "worker"], env | {"LOG_LEVEL": "debug"}))
        processes.enter_context(start_process([start, "beat"], env))

        behind_proxy = {"Host": "tank.example", "X-Forwarded-Proto": "https"}
        status, headers = get(ports["web"], LOGIN, behind_proxy)
        assert status == 200
        assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains; preload"
        assert get(ports["web"], LOGIN, {"Host": "tank.example"})[0] == 301
        assert get(ports["web"], LOGIN, behind_proxy | {"Host": "evil.example"})[0] == 400
        assert get(ports["gateway"], "/v1/models", {})[0] == 401
        assert get(ports["gateway"], LOGIN, behind_proxy)[0] == 404

        names = json.loads((image / "static" / "staticfiles.json").read_text())["paths"]
        status, headers = get(ports["web"], f"/static/{names['plotly/plotly.min.js']}", behind_proxy)
        assert (status, headers["cache-control"]) == (200, "max-age=315360000, public, immutable")

        until(lambda: "allocations.tasks.sweep" in worker.output and "succeeded in" in worker.output, within=60)
        assert files_of(image) == before
    redis.Redis.from_url(broker).flushdb()


def test_a_process_that_lacks_a_setting_says_which(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    shutil.copytree(DOCKER, tmp_path / "app" / "docker")
    start = tmp_path / "app" / "docker" / "start.sh"

    done = subprocess.run([start, "web"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (1, "Tank cannot start web: set DATABASE_URL.\n")


def test_compose_starts_the_processes_that_the_image_knows() -> None:
    known = set(re.findall(r"^([a-z]+)\)$", (DOCKER / "start.sh").read_text(), re.MULTILINE))

    assert set(compose()["services"]) == {"web", "gateway", "worker", "beat", "migrate", "database", "redis"}
    assert {service["command"][0] for service in ours().values()} == set(ours()) <= known


def test_compose_keeps_the_owner_of_the_schema_out_of_what_runs() -> None:
    with_owner = [name for name, service in ours().items() if "DATABASE_OWNER_URL" in service["environment"]]

    assert with_owner == ["migrate"]
    for service in ours().values():
        assert service["environment"]["DATABASE_URL"].startswith("postgresql://tank_app:")


def test_compose_gives_every_process_a_read_only_file_system_and_no_rights() -> None:
    for service in ours().values():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert re.search(r"^USER 10001$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)


def test_compose_sets_only_what_is_documented() -> None:
    names = {name for service in ours().values() for name in service["environment"]}

    assert names <= set(names_documented()) | OF_THE_IMAGE


def test_compose_waits_for_calls_in_flight_before_it_kills() -> None:
    for service in ours().values():
        wanted = int(service["environment"]["SHUTDOWN_SECONDS"]) + SETTLE_SECONDS + SIGN_OFF_SECONDS
        assert int(service["stop_grace_period"].removesuffix("s")) > wanted


def test_the_example_environment_has_everything_that_compose_requires() -> None:
    required = set(re.findall(r"\$\{([A-Z_]+):\?\}", (DOCKER / "compose.yaml").read_text()))
    given = set(re.findall(r"^([A-Z_]+)=", (DOCKER / "env.example").read_text(), re.MULTILINE))

    assert required == given


def test_docker_itself_accepts_the_compose_file() -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode
    ):
        pytest.skip("no `docker compose` on this machine")
    env = os.environ | dict.fromkeys(re.findall(r"\$\{([A-Z_]+)", (DOCKER / "compose.yaml").read_text()), "x")

    done = subprocess.run(
        ["docker", "compose", "-f", DOCKER / "compose.yaml", "config", "--quiet"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
