"""The machine that figures were taken on, and how much CPU its processes used."""

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

import psycopg
from django.db import connection

from marketplace import embedded
from tests.settings import DATA

TICKS = os.sysconf("SC_CLK_TCK")


def wait_for_disk() -> None:
    """Have the embedded server wait for its disk, which the tests' settings spare it: what is measured is durable."""
    if os.environ["DATABASE_URL"] != embedded.url(DATA):
        return
    with psycopg.connect(embedded.url(DATA, user="postgres", database="postgres"), autocommit=True) as superuser:
        superuser.execute("ALTER SYSTEM SET fsync = on")
        superuser.execute("SELECT pg_reload_conf()")


def described() -> str:
    """Return a sentence on the cores, the software and whether the database waits for its disk."""
    return (
        f"{os.cpu_count()} cores ({_cpu_model()}), {_memory_gib()} GiB of memory, {platform.system()} "
        f"{platform.release().split('-')[0]}; {platform.python_implementation()} {platform.python_version()}; "
        f"PostgreSQL {_shown('server_version').split()[0]}, fsync {_shown('fsync')}, synchronous_commit "
        f"{_shown('synchronous_commit')}."
    )


def _cpu_model() -> str:
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> int:
    total = next(line for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    return round(int(total.split()[1]) / 2**20)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _shown(setting: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", (setting,))
        return str(cursor.fetchone()[0])


def family(pid: int) -> list[int]:
    """Return a process and everything that it started, itself first; of those that run."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [pid, *(other for child in children for other in family(child))]


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds, of user and system, that processes have used so far."""
    return sum(map(_cpu_seconds_of, pids))


def _cpu_seconds_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_kib(pid: int) -> int:
    """Return the memory of a process that is in RAM, in KiB."""
    resident = next(line for line in _lines(f"/proc/{pid}/status") if line.startswith("VmRSS"))
    return int(resident.split()[1])


def core_ticks() -> list[tuple[int, int]]:
    """Return for each core the ticks that it was busy, and all ticks, since the machine started."""
    cores = [line.split()[1:9] for line in _lines("/proc/stat") if line.startswith("cpu") and line[3].isdigit()]
    return [(sum(map(int, core)) - int(core[3]) - int(core[4]), sum(map(int, core))) for core in cores]


def busy_shares(before: Sequence[tuple[int, int]], after: Sequence[tuple[int, int]]) -> list[float]:
    """Return how busy each core was between two readings, from 0 to 1."""
    return [(b[0] - a[0]) / max(b[1] - a[1], 1) for a, b in zip(before, after, strict=True)]


def database_pids(name: str) -> list[int]:
    """Return the processes that work for a database: its sessions, and the server's own (WAL writer, checkpointer…)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND coalesce(datname, %s) = %s",
            (name, name),
        )
        return [pid for (pid,) in cursor.fetchall()]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are aligned in the text too; all but the first are figures."""
    table = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first, *figures = zip(row, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in figures)]) + " |"

    rule = "| " + " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]) + " |"
    return "\n".join([line(table[0]), rule, *map(line, table[1:])])
