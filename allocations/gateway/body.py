"""The JSON body of a request: read, and changed as little as possible before it goes on."""

from typing import Any

import orjson

from allocations.gateway.refusal import bad_request


def parse(body: bytes) -> dict[str, Any]:
    """Return a body's JSON object. Raises Refusal."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"The request's body is not valid JSON ({_where(error)}).") from None
    if not isinstance(payload, dict):
        raise bad_request("The request's body must be a JSON object.")
    return payload


def _where(error: orjson.JSONDecodeError) -> str:
    return f"line {error.lineno}, column {error.colno}"


def quoted(names: str) -> tuple[bytes, ...]:
    """Return names, given apart by blanks, as they stand in JSON."""
    return tuple(b'"%b"' % name.encode() for name in names.split())


def is_ambiguous(body: bytes, watched: tuple[bytes, ...]) -> bool:
    """Say whether a reader that takes the first of two equal names could see another request than we did.

    A name may be written with escapes, and a name further down in the body may look like one at the top: both
    only mean that the body is written anew from what was read.
    """
    if b"\\u" in body:
        return True
    for name in watched:  # noqa: SIM110 - a generator costs more than the counting
        if body.count(name) > 1:
            return True
    return False


def changed(body: bytes, payload: dict[str, Any], changes: dict[str, Any], *, ambiguous: bool) -> bytes:
    """Return the body with names set at its top. Where nothing is replaced, all of its bytes stay as they came.

    Raises Refusal when it must be written anew and is nested too deeply for that.
    """
    if ambiguous or not payload or changes.keys() & payload.keys():
        return _written(payload | changes)
    if not changes:
        return body
    start = body.index(b"{") + 1
    return b"%b%b,%b" % (body[:start], orjson.dumps(changes)[1:-1], body[start:])


def _written(payload: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(payload)
    except orjson.JSONEncodeError:
        raise bad_request("The request's body is nested too deeply.") from None
