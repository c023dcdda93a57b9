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


def is_ambiguous(body: bytes, payload: dict[str, Any]) -> bool:
    """Say whether an object in a body has a name twice, so that another reader could see another request than we did.

    What was read holds each name once. Written anew it has as many quotes as the body, unless a name was dropped;
    only a quote that the body wrote as an escape comes on top.
    """
    try:
        quotes = orjson.dumps(payload).count(b'"')
    except orjson.JSONEncodeError:
        return True
    return quotes != body.count(b'"') + (body.count(b"\\u0022") if b"\\u" in body else 0)


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
