"""Secrets that Tank makes for itself on first run, kept in the data folder with mode 0600."""

import base64
import os
import secrets
from pathlib import Path


def read_or_create(data_dir: Path, name: str, *, kind: str = "token") -> str:
    """Return the secret called `name`, made on first use; safe when two processes start at once."""
    folder = data_dir / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    if not path.exists():
        _write_once(path, _new(kind))
    return path.read_text().strip()


def _new(kind: str) -> str:
    if kind == "fernet":
        return base64.urlsafe_b64encode(os.urandom(32)).decode()
    return secrets.token_urlsafe(48)


def _write_once(path: Path, value: str) -> None:
    # Written aside and linked into place: a reader never sees half a secret, and the first writer wins.
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value + "\n")
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink()
