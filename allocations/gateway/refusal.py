"""Why the gateway does not answer a call as asked. Each dialect gives a refusal its own status and shape."""

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import Any

HANG_UP = (b"connection", b"close")


class Kind(Enum):
    """What went wrong; the dialects know which status, type and code that is."""

    BAD_KEY = auto()
    BAD_REQUEST = auto()
    FORBIDDEN = auto()
    NO_SUCH_PATH = auto()
    WRONG_METHOD = auto()
    NO_SUCH_MODEL = auto()
    SLOW_REQUEST = auto()
    TOO_LARGE = auto()
    BUDGET = auto()
    TOO_FAST = auto()
    UNAVAILABLE = auto()
    UPSTREAM_BROKEN = auto()
    UPSTREAM_SLOW = auto()
    INTERNAL = auto()


@dataclass(frozen=True, slots=True)
class Denied:
    """What the log of refused calls keeps of a refusal by a quota or a key; `bound` in USD."""

    reason: str
    key_id: int | None
    bound: Decimal | None = None


class Refusal(Exception):
    """Stop a call. The message is for the caller: it never holds a secret, a prompt or an answer."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        code: str | None = None,
        parameter: str | None = None,
        details: dict[str, Any] | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        denied: Denied | None = None,
    ) -> None:
        super().__init__(message)
        self.kind, self.message, self.code, self.parameter = kind, message, code, parameter
        self.details, self.headers, self.denied = details, headers, denied


def bad_request(message: str, parameter: str | None = None) -> Refusal:
    """Make the refusal of a request that cannot be understood or priced."""
    return Refusal(Kind.BAD_REQUEST, message, parameter=parameter)


def draining() -> Refusal:
    """Make the refusal of every call that comes to a process which is about to stop."""
    message = "This gateway is about to stop and takes no calls. Try again: another one answers."
    return Refusal(Kind.UNAVAILABLE, message, code="draining", headers=((b"retry-after", b"1"), HANG_UP))


def given_up() -> Refusal:
    """Make the answer to a call that a process which stops could not wait for any longer."""
    message = "This gateway had to stop before the answer was there. What the provider did of it is charged."
    return Refusal(Kind.UNAVAILABLE, message, code="draining", headers=((b"retry-after", b"1"), HANG_UP))


def unavailable() -> Refusal:
    """Make the refusal of every call while the database cannot be reached."""
    message = "Tank cannot meter calls at the moment, so it lets none through. Try again shortly."
    return Refusal(Kind.UNAVAILABLE, message, headers=((b"retry-after", b"2"),))
