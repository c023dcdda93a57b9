"""What `manage.py up` says when Tank is ready: where it is, who can log in, and a call that works."""

import json
import shlex
from pathlib import Path
from typing import Any

FILE = "demo.json"


def text(address: str, data_dir: Path) -> str:
    """Return the lines to print; the demo's logins and key are there when the demo was loaded."""
    lines = ["", f"Tank is ready: {address}"]
    demo = read(data_dir)
    if demo is not None:
        lines += [*_logins(demo), *_call(address, demo)]
    return "\n".join([*lines, "", f"Ctrl-C stops it. Everything is kept in {data_dir}."])


def read(data_dir: Path) -> dict[str, Any] | None:
    """Return what loading the demo left to say, or nothing."""
    try:
        demo = json.loads((data_dir / FILE).read_text())
    except (OSError, ValueError):
        return None
    return demo if isinstance(demo, dict) else None


def _logins(demo: dict[str, Any]) -> list[str]:
    logins = [_login(login) for login in demo.get("logins", [])]
    width = max((len(email) for email, _ in logins), default=0)
    lines = [f"    {email:<{width}}  {what}".rstrip() for email, what in logins]
    return ["", f"Log in with the password {demo.get('password')} as", *lines] if lines else []


def _login(login: Any) -> tuple[str, str]:
    if isinstance(login, str):
        return login, ""
    about = (login.get("name"), login.get("role") or login.get("does"))
    return str(login["email"]), ", ".join(str(part) for part in about if part)


def _call(address: str, demo: dict[str, Any]) -> list[str]:
    if not demo.get("key"):
        return []
    question = {"model": demo["model"], "messages": [{"role": "user", "content": "Hello, Tank!"}]}
    command = [
        "curl", "-sS", f"{address}/v1/chat/completions",
        "-H", f"Authorization: Bearer {demo['key']}",
        "-H", "Content-Type: application/json",
        "-d", json.dumps(question),
    ]  # fmt: skip
    return ["", f"A funded key: {demo['key']}", "", "Try it:", f"    {shlex.join(command)}"]
