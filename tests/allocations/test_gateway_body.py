"""The body goes upstream as it came, or with as little changed as possible."""

import json
import re
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from allocations.gateway.anthropic_dialect import Messages
from allocations.gateway.body import changed, is_ambiguous, parse
from allocations.gateway.openai_dialect import ChatCompletions, Embeddings, Responses
from allocations.gateway.refusal import Refusal
from allocations.metering.bounds import Unbounded
from allocations.sandbox import answer as sandbox
from allocations.sandbox.app import SHAPES, SILENT

NAMES = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "n",
    "tools",
    "type",
    "content",
    "text",
    "source",
]
NAMES += [
    "image_url",
    "url",
    "role",
    "system",
    "modalities",
    "prediction",
    "service_tier",
    "image",
    "data",
    "tool_result",
]
NAMES += ["input", "instructions", "output", "previous_response_id", "encrypted_content", "max_output_tokens"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**7)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(NAMES)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)


@given(
    st.dictionaries(st.text(), JSON, max_size=5),
    st.dictionaries(st.sampled_from(["new", "newer"]), st.integers(0, 10**6)),
)
def test_what_is_added_stands_in_front_and_nothing_else_moves(payload: dict[str, Any], changes: dict[str, Any]) -> None:
    body = b"  \n" + orjson.dumps(payload, option=orjson.OPT_INDENT_2)
    result = changed(body, payload, changes, ambiguous=False)
    assert orjson.loads(result) == payload | changes
    if payload and not changes.keys() & payload.keys():
        assert result.endswith(body[body.index(b"{") + 1 :])
    if payload and not changes:
        assert result == body


def test_what_is_nested_too_deeply_to_be_written_anew_is_refused() -> None:
    body = b'{"model":"a","model":"b","x":' + b"[" * 500 + b"]" * 500 + b"}"
    assert changed(body, parse(body), {}, ambiguous=False) == body
    with pytest.raises(Refusal, match="nested too deeply"):
        changed(body, parse(body), {}, ambiguous=True)


def test_what_is_replaced_is_there_once() -> None:
    body = b'{"model":"a", "max_tokens": null}'
    assert changed(body, orjson.loads(body), {"max_tokens": 5}, ambiguous=False) == b'{"model":"a","max_tokens":5}'


@pytest.mark.parametrize(
    ("body", "ambiguous"),
    [
        (b'{"model":"a","max_tokens":1}', False),
        (b'{"model":"a","messages":[{"content":"the \\"model\\" and its \\"max_tokens\\""}]}', False),
        (b'{"model":"a","tools":[{"name":"model","model":{"model":1}}]}', False),
        (b'{"m\\u006fdel":"b","x":"\\u0022 \\\\"}', False),
        (b'{"model":"a","model":"b"}', True),
        (b'{"model":"a","m\\u006fdel":"b"}', True),
        (b'{"model":"a","m\\u006fdel":"b","x":"\\u0022\\u0022"}', True),
        (b'{"messages":[{"content":[{"type":"image_url"}],"content":"hi"}]}', True),
    ],
)
def test_a_body_that_can_be_read_in_two_ways_is_noticed(body: bytes, ambiguous: bool) -> None:
    assert is_ambiguous(body, parse(body)) is ambiguous


# JSON as no library writes it: names twice, characters as escapes, blanks anywhere.
LETTERS = st.sampled_from(["a", "b", '\\"', "\\u0061", "\\u0022", "\\\\", "\\\\u0022", "é", " "])
STRINGS = st.lists(LETTERS, max_size=3).map(lambda letters: '"' + "".join(letters) + '"')
BLANK = st.sampled_from(["", " ", "\n"])


def raw_objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(BLANK, STRINGS, BLANK, values, BLANK).map(lambda it: f"{it[0]}{it[1]}{it[2]}:{it[3]}{it[4]}")
    return st.lists(member, max_size=4).map(lambda members: "{" + ",".join(members) + "}")


RAW = raw_objects(
    st.recursive(
        STRINGS | st.sampled_from(["1", "true", "null", "[]"]),
        lambda inner: raw_objects(inner) | st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        max_leaves=8,
    )
)


def first_wins(members: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(members))


@given(RAW, st.dictionaries(st.sampled_from(["max_tokens", "a", "b"]), st.integers(0, 10**6), max_size=2))
def test_whoever_reads_what_goes_upstream_reads_what_was_priced(text: str, changes: dict[str, Any]) -> None:
    body = text.encode()
    payload = parse(body)
    outgoing = changed(body, payload, changes, ambiguous=is_ambiguous(body, payload))
    assert json.loads(outgoing) == json.loads(outgoing, object_pairs_hook=first_wins) == payload | changes


@given(RAW)
@example('{"\\\\\\u0022":{}}')
@example('{"\\\\u0022":{}}')
def test_what_has_no_name_twice_goes_upstream_as_it_came(text: str) -> None:
    def once(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(members)) < len(members):
            raise ValueError("a name stands twice")
        return dict(members)

    body = text.encode()
    try:
        json.loads(body, object_pairs_hook=once)
    except ValueError:
        assert is_ambiguous(body, parse(body))
        return
    outgoing = changed(body, parse(body), {}, ambiguous=is_ambiguous(body, parse(body)))
    # An escaped backslash before "u0022" looks like an escaped quote: then, and only then, it is written anew.
    looks_escaped = re.search(rb"(?<!\\)(\\\\)+u0022", body)
    assert outgoing == (body if not looks_escaped and parse(body) else orjson.dumps(parse(body)))


@given(st.binary(max_size=60) | JSON.map(orjson.dumps))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    with suppress(Refusal):
        assert isinstance(parse(body), dict)


@given(st.fixed_dictionaries({"model": st.just("m")}, optional=dict.fromkeys(NAMES[1:], JSON)))
@example({"model": "m", "input": [{"type": []}, {"type": "computer_call_output", "output": []}, 5, None]})
@example({"model": "m", "input": [[1], "a", {}, None]})
@example({"model": "m", "messages": [{"content": [{"type": []}]}], "tools": [{"type": {}}], "service_tier": []})
def test_any_object_is_measured_or_refused(payload: dict[str, Any]) -> None:
    body = orjson.dumps(payload)
    for surface in (ChatCompletions(), Responses(), Embeddings(), Messages()):
        try:
            ask = surface.ask(payload, body)
        except (Refusal, Unbounded):
            continue
        assert ask.demand.input_tokens is None or ask.demand.input_tokens > 0
        # The sandbox is an honest provider: it never counts more than the bound.
        shape = SHAPES[surface.path]
        if not shape.problem(payload):
            answer = sandbox.make(payload, 1, None) if shape not in SILENT else shape.answer_to(payload)
            assert answer.input_tokens <= (ask.demand.input_tokens or sandbox.CONTEXT_WINDOW)
