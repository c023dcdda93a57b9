"""What services raise when a change is refused; views, commands and the API translate it, each in its own way."""


class Refused(Exception):
    """A change is refused by a rule. `code` is stable for programs, the message is for people."""

    code = "refused"

    def __init__(self, message: str, *, code: str | None = None, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        if code is not None:
            self.code = code


class NotAllowed(Refused):
    """The actor may not do this."""

    code = "not_allowed"


class WrongState(Refused):
    """The object is not in a state from which this can be done."""

    code = "wrong_state"


SHORTEST_REASON = 10
"""How many characters a reason has that other people decide by or have to live with."""


def require_reason(reason: str, message: str = "Give a reason.", *, least: int = 1, field: str = "reason") -> None:
    """Let a service go on only with a reason of `least` characters; raises Refused (reason_missing) otherwise."""
    if len(reason.strip()) < least:
        raise Refused(message, code="reason_missing", field=field)
