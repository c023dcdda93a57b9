"""One Tank per data folder: a lock that the kernel takes back however its holder ends."""

import fcntl
import json
import os
from pathlib import Path


def take(data_dir: Path, address: str) -> int:
    """Take the data folder for this process; raises SystemExit with a sentence when another one has it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "up.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SystemExit(
            f"Tank already runs on {data_dir}{_who(path)}: stop it first, or choose another folder with TANK_DATA."
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "address": address}).encode(), 0)
    return descriptor


def _who(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
    except (OSError, ValueError):
        return ""
    return f" (process {holder['pid']}, {holder['address']})"
