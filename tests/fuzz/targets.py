"""What must hold for any bytes: of a stream from a provider, and of a request from a client."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from allocations.gateway import body as bodies
from allocations.gateway.anthropic_dialect import Messages, MessageWatch
from allocations.gateway.dialect import StreamWatch
from allocations.gateway.openai_dialect import ChatCompletions, ChatWatch, Embeddings, Responses, ResponseWatch
from allocations.gateway.refusal import Refusal
from allocations.gateway.sse import EventSplitter, data_of
from allocations.metering.bounds import Unbounded
from allocations.metering.recall import Recall, trail_of
from tests.bench import mix

SAMPLES = Path(__file__).resolve().parent.parent / "data" / "inline"
SURFACES = (ChatCompletions(), Responses(), Embeddings(), Messages())
WATCHES: tuple[Callable[[], StreamWatch], ...] = (lambda: ChatWatch(False), ResponseWatch, MessageWatch)
CHANGES = {"max_tokens": 5, "stream_options": {"include_usage": True}}


def stream(data: bytes) -> None:
    """Events are the same in any chunks, no byte is lost or made up, and no watch fails."""
    size, told = 1 + data[0] % 7 if data else 1, data[1:]
    whole, cut = EventSplitter(), EventSplitter()
    events = whole.feed(told)
    pieces = [told[place : place + size] for place in range(0, len(told), size)]
    assert [event for piece in pieces for event in cut.feed(piece)] == events
    assert b"".join(events) + whole.pending == told
    for event in events:
        data_of(event)
    for make in WATCHES:
        _watched(make(), told, pieces)


def _watched(watch: StreamWatch, told: bytes, pieces: list[bytes]) -> None:
    passed = b"".join(map(watch.feed, pieces)) + watch.finish()
    assert told.startswith(passed + (watch.tail or b""))
    assert watch.has_ended or passed == told
    assert watch.text_bytes >= 0


def body(data: bytes) -> None:
    """A body is refused, or measured; and whoever reads what goes upstream reads what was measured."""
    try:
        payload = bodies.parse(data)
    except Refusal:
        return
    for surface in SURFACES:
        try:
            demand = surface.ask(payload, data).demand
        except (Refusal, Unbounded):
            continue
        assert demand.input_tokens is None or demand.input_tokens > 0
        trail_of(Recall(), payload, data, demand, conversation=surface.conversation, scope=1)
    try:
        outgoing = bodies.changed(data, payload, CHANGES, ambiguous=bodies.is_ambiguous(data, payload))
    except Refusal:
        return
    assert bodies.parse(outgoing) == payload | CHANGES
    assert _first_wins(outgoing) == _last_wins(outgoing)


def _first_wins(data: bytes) -> Any:
    return json.loads(data, object_pairs_hook=lambda members: dict(reversed(members)))


def _last_wins(data: bytes) -> Any:
    return json.loads(data)


def _streams() -> list[bytes]:
    return [b"\x05" + sample.read_bytes() for sample in sorted(SAMPLES.rglob("*.sse"))]


def _bodies() -> list[bytes]:
    return [call.body[:2000] if len(call.body) > 20_000 else call.body for call in mix.calls()] + [
        b'{"model":"m","model":"n","messages":[{"role":"user","content":"\\u0022"}],"max_tokens":5}',
        b'{"model":"m","input":[{"type":"function_call_output","output":[{"type":"input_text","text":"a"}]}]}',
        b'{"model":"m","input":[[1,2],[3]],"dimensions":4}',
    ]


SEEDS: dict[str, Callable[[], list[bytes]]] = {"stream": _streams, "body": _bodies}
TARGETS: dict[str, Callable[[bytes], None]] = {"stream": stream, "body": body}
