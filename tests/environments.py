"""Environments of programs that Tank works with or is compared with: made when first asked for, and kept in `var/`."""

import fcntl
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.databases import ROOT

FOLDER = ROOT / "var" / "environments"
MADE = ".made"
VERSIONS = """
import sys
from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in sys.argv[1:]), sep=", ")
"""


class NotToBeHad(Exception):
    """An environment cannot be made on this machine; says why, to stand behind a colon."""


def environment_of(name: str, *packages: str) -> Path:
    """Return the folder of an environment's programs, made with these packages when new. Raises NotToBeHad."""
    place, wanted = FOLDER / name, "\n".join(packages)
    with _alone(name):
        if not (place / MADE).exists() or (place / MADE).read_text() != wanted:
            sys.stderr.write(f"Making {place.relative_to(ROOT)} with {', '.join(packages)}\n")
            venv.create(place, clear=True, with_pip=True)
            _install(place, packages)
            (place / MADE).write_text(wanted)
    return place / "bin"


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Keep other processes of the run from making the same environment."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(place: Path, packages: tuple[str, ...]) -> None:
    python = str(place / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    # uv takes a fifth of the time; where it cannot be had, or does not know pip's index, pip does it.
    if _run([*pip, "uv"]).returncode == 0:
        index = os.environ.get("PIP_INDEX_URL") or _run([*pip[:3], "config", "get", "global.index-url"]).stdout.strip()
        uv = [python, "-m", "uv", "pip", "install", "--quiet", "--python", python]
        if _run([*uv, *(["--default-index", index] if index else []), *packages]).returncode == 0:
            return
    done = _run([*pip, *packages])
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip did not say why"])[-1]
        raise NotToBeHad(f"{', '.join(packages)} could not be installed: {last}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def versions(programs: Path, *packages: str) -> str:
    """Return the versions that an environment has of some packages, as `name version, …`."""
    command = [str(programs / "python"), "-c", VERSIONS, *packages]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
