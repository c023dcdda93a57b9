"""Streams are watched, not rebuilt: whatever the chunks, every byte passes, and the usage is found."""

from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocations.gateway import sse
from allocations.gateway.anthropic_dialect import MessageWatch
from allocations.gateway.dialect import StreamWatch
from allocations.gateway.openai_dialect import ChatWatch, ResponseWatch
from allocations.gateway.sse import EventSplitter, EventTooLong, data_of
from allocations.metering.types import Tokens

SAMPLES = Path(__file__).resolve().parent.parent / "data" / "inline"
OPENAI = (SAMPLES / "openai_chat_stream_include_usage.sse").read_bytes()
ANTHROPIC = (SAMPLES / "anthropic_stream.sse").read_bytes()
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def passed(watch: StreamWatch, pieces: list[bytes]) -> bytes:
    return b"".join(watch.feed(piece) for piece in pieces) + watch.finish()


# --- Cutting into events -------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.lists(st.sampled_from([b"data: a", b"event: b", b": c", b"x"])), LINE_ENDS), max_size=6),
    st.lists(st.integers(0, 10_000), max_size=20),
)
def test_events_are_the_same_whatever_the_chunks(blocks: list[tuple[list[bytes], bytes]], cuts: list[int]) -> None:
    data = b"".join(b"".join(line + end for line in lines) + end for lines, end in blocks)
    whole, cut = EventSplitter(), EventSplitter()
    events = whole.feed(data)
    in_pieces = [event for piece in pieces_of(data, cuts) for event in cut.feed(piece)]
    assert (in_pieces, cut.pending) == (events, whole.pending)
    assert b"".join(events) + whole.pending == data


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=20))
def test_no_byte_is_lost_or_made_up(data: bytes, cuts: list[int]) -> None:
    splitter = EventSplitter()
    events = [event for piece in pieces_of(data, cuts) for event in splitter.feed(piece)]
    assert b"".join(events) + splitter.pending == data


def as_the_standard_says(stream: bytes) -> list[bytes]:
    """Return the data of all events that a stream dispatches, read line by line as the standard describes it."""
    lines = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    told: list[bytes] = []
    data: list[bytes] = []
    for line in lines[:-1]:
        if not line:
            told.extend([b"\n".join(data)] if data else [])
            data = []
        elif line == b"data":
            data.append(b"")
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
    return told


LINES = st.sampled_from([b"data: a", b"data:b", b"data:", b"data", b"data:  c: d", b"database: x", b"event: e", b": c"])
LINES |= st.sampled_from([b"id: 1", b"retry: 5", b"x", b'data: {"a":"\xe2\x80\xa8"}', b"data: \x0b\x0c\x1c"])


@given(
    st.lists(st.tuples(LINES | st.just(b""), LINE_ENDS), max_size=20),
    st.lists(st.integers(0, 10_000), max_size=20),
    st.booleans(),
)
def test_the_data_of_events_is_what_the_standard_says(
    lines: list[tuple[bytes, bytes]], cuts: list[int], has_mark: bool
) -> None:
    stream = b"\xef\xbb\xbf" * has_mark + b"".join(line + end for line, end in lines) + b": end"
    splitter = EventSplitter()
    events = [event for piece in pieces_of(stream, cuts) for event in splitter.feed(piece)]
    told = [data_of(event) for event in events]
    assert [data for data in told if data] == [data for data in as_the_standard_says(stream) if data]


def test_an_event_of_several_data_lines_is_one_text() -> None:
    assert data_of(b"event: x\r\ndata: one\r\ndata:two\r\n\r\n") == b"one\ntwo"
    assert data_of(b": a comment\n\n") == b""


def test_an_event_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MOST_PENDING", 100)
    splitter = EventSplitter()
    splitter.feed(b"x" * 100)
    with pytest.raises(EventTooLong):
        splitter.feed(b"x")


# --- OpenAI --------------------------------------------------------------------------------------------------

OPENAI_TOKENS = Tokens(input=412, cache_read=1850, cache_write_5m=96, output=612, reasoning=448)


@given(st.lists(st.integers(0, 10_000), max_size=30), LINE_ENDS)
def test_openai_usage_is_found_and_the_end_held_back(cuts: list[int], end: bytes) -> None:
    data = OPENAI.replace(b"\n", end)
    watch = ChatWatch(drops_usage=False)
    done = b"data: [DONE]" + end + end
    assert passed(watch, pieces_of(data, cuts)) == data.removesuffix(done)
    assert watch.tail == done
    assert (watch.reading.tokens, watch.reading.model) == (OPENAI_TOKENS, "gpt-6-astra")
    assert (watch.reading.service_tier, watch.text_bytes) == ("default", 2)


def test_a_usage_chunk_that_the_client_did_not_order_is_dropped() -> None:
    watch = ChatWatch(drops_usage=True)
    assert passed(watch, [OPENAI]) == OPENAI[: OPENAI.rindex(b'data: {"id"')]
    assert watch.reading.tokens == OPENAI_TOKENS


def test_usage_in_the_last_chunk_that_has_choices_passes() -> None:
    chunk = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
    watch = ChatWatch(drops_usage=True)
    assert passed(watch, [chunk + b"data: [DONE]\n\n"]) == chunk
    assert watch.reading.tokens == Tokens(input=3, output=1)
    assert watch.has_ended
    assert not watch.is_final


def test_an_openai_error_event_ends_the_stream() -> None:
    data = (SAMPLES / "errors" / "openai_chat_stream_error.sse").read_bytes()
    watch = ChatWatch(drops_usage=True)
    assert passed(watch, [data]) == data[: data.index(b'data: {"error"')]
    assert (watch.is_error, watch.tail, watch.text_bytes) == (True, data[data.index(b'data: {"error"') :], 2)


def test_text_is_counted_in_bytes_also_of_tool_calls() -> None:
    watch = ChatWatch(drops_usage=True)
    delta = {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    watch.feed(b"data: " + orjson.dumps({"choices": [{"delta": {"content": "żółw"}}, {"delta": delta}]}) + b"\n\n")
    assert watch.text_bytes == len("żółw".encode()) + len(orjson.dumps(delta))


# --- Responses -----------------------------------------------------------------------------------------------

RESPONSE = (SAMPLES / "openai_response_stream.sse").read_bytes()


@given(st.lists(st.integers(0, 10_000), max_size=30), LINE_ENDS)
def test_the_last_event_of_a_response_carries_its_usage_and_is_held_back(cuts: list[int], end: bytes) -> None:
    data = RESPONSE.replace(b"\n", end)
    watch = ResponseWatch()
    passing = passed(watch, pieces_of(data, cuts))
    assert watch.tail is not None
    assert passing + watch.tail == data
    assert watch.tail.startswith(b"event: response.completed")
    assert (watch.reading.tokens, watch.reading.model) == (OPENAI_TOKENS, "gpt-6-astra")
    assert (watch.reading.service_tier, watch.text_bytes, watch.is_error) == ("default", 2, False)


def test_a_response_that_stops_at_its_cap_is_whole() -> None:
    watch = ResponseWatch()
    passed(watch, [(SAMPLES / "openai_response_stream_incomplete.sse").read_bytes()])
    assert (watch.has_ended, watch.is_error, watch.reading.tokens) == (True, False, OPENAI_TOKENS)


def test_arguments_of_a_tool_are_text_of_a_response() -> None:
    watch = ResponseWatch()
    passed(watch, [(SAMPLES / "openai_response_stream_tools.sse").read_bytes()])
    assert watch.text_bytes == len('{"city":"Łódź"}'.encode())


@pytest.mark.parametrize("name", ["openai_response_stream_failed.sse", "openai_response_stream_error.sse"])
def test_a_response_that_fails_ends_the_stream(name: str) -> None:
    watch = ResponseWatch()
    passed(watch, [(SAMPLES / "errors" / name).read_bytes()])
    assert (watch.is_error, watch.is_final, watch.has_ended, watch.text_bytes) == (True, False, True, 2)


def test_a_response_that_fails_with_its_usage_is_known_exactly() -> None:
    failed = {"type": "response.failed", "response": {"usage": {"input_tokens": 3, "output_tokens": 1}}}
    watch = ResponseWatch()
    passed(watch, [b"data: " + orjson.dumps(failed) + b"\n\n"])
    assert (watch.is_error, watch.is_final, watch.reading.tokens) == (True, True, Tokens(input=3, output=1))


# --- Anthropic -----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10_000), max_size=30), LINE_ENDS)
def test_anthropic_usage_is_merged_from_start_and_delta(cuts: list[int], end: bytes) -> None:
    data = ANTHROPIC.replace(b"\n", end)
    watch = MessageWatch()
    passing = passed(watch, pieces_of(data, cuts))
    assert watch.tail is not None
    assert passing + watch.tail == data
    assert b"message_stop" in watch.tail
    assert watch.reading.tokens == Tokens(
        input=412, cache_read=18500, cache_write_5m=1000, cache_write_1h=96, output=612
    )
    assert (watch.reading.model, watch.reading.service_tier) == ("claude-sonnet-5-5", "standard")
    assert (watch.text_bytes, watch.is_final) == (2, True)


def test_an_anthropic_stream_that_fails_knows_its_input() -> None:
    watch = MessageWatch()
    passed(watch, [(SAMPLES / "errors" / "anthropic_stream_error.sse").read_bytes()])
    assert (watch.is_error, watch.is_final) == (True, False)
    assert watch.reading.tokens == Tokens(input=412, cache_read=18500, cache_write_5m=1000, cache_write_1h=96, output=1)


# --- Anything ------------------------------------------------------------------------------------------------

NAMES = [
    "type",
    "response",
    "delta",
    "usage",
    "message",
    "choices",
    "error",
    "content",
    "text",
    "model",
    "output_tokens",
]
KINDS = ["response.created", "response.completed", "x.delta", "message_start", "message_delta", "error"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**14) | st.text(max_size=5) | st.sampled_from(KINDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON | st.binary(max_size=30), max_size=6), st.booleans())
def test_no_event_whatever_it_holds_breaks_a_watch(documents: list[object], drops_usage: bool) -> None:
    events = [document if isinstance(document, bytes) else orjson.dumps(document) for document in documents]
    for watch in (ChatWatch(drops_usage), ResponseWatch(), MessageWatch()):
        for event in events:
            watch.feed(b"data: " + event.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n\n")
        assert watch.text_bytes >= 0
