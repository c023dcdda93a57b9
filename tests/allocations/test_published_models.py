"""Where it is published how a model cuts text, its tokens are bounded by less than its bytes, and never too low."""

import re
from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocations.metering.bounds import Demand
from allocations.metering.measure import LONG_BODY, escapes_in, texts_of
from allocations.metering.openai_bounds import openai_chat_demand, openai_response_demand
from allocations.metering.openai_models import LETTERS, NO_PIECE, at_model, spared_in
from allocations.metering.recall import Recall, trail_of
from allocations.metering.types import Tokens

ADDRESS = "https://api.openai.com/v1"
PROSE = "People who read this may say that there is more to tell, and they are right. \n" * 40
# How o200k_base cuts text into words, for ASCII.
SUFFIX = r"(?:'s|'t|'re|'ve|'m|'ll|'d|'S|'T|'RE|'VE|'M|'LL|'D)?"
WORDS = re.compile(
    rf"[^\r\nA-Za-z0-9]?[A-Z]*[a-z]+{SUFFIX}|[^\r\nA-Za-z0-9]?[A-Z]+[a-z]*{SUFFIX}|[0-9]{{1,3}}"
    r"| ?[^\sA-Za-z0-9]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def is_known(token: str) -> bool:
    """Say whether the published vocabulary is known to have a token, by no more than the bound relies on."""
    letters = token.removeprefix(" ")
    return len(letters) <= 2 and set(letters) <= set(LETTERS) and token != NO_PIECE


@cache
def most_tokens(word: str) -> int:
    """Return the most tokens that merging may leave of a word: no two neighbours together are a known token."""
    most = {(0, 0): 0}  # by the last token's begin and end
    for end in range(1, len(word) + 1):
        for begin in range(end):
            before = [
                count
                for (first, last), count in most.items()
                if last == begin and (first == last == 0 or not is_known(word[first:end]))
            ]
            if before:
                most[begin, end] = 1 + max(before)
    return max((count for (_, end), count in most.items() if end == len(word)), default=0)


TEXT = st.text(st.sampled_from("  aeotsuob'sldrvmeqkzZA1_-.\n\t"), max_size=30) | st.lists(
    st.text(st.sampled_from(LETTERS), min_size=1, max_size=12), max_size=5
).map(" ".join)


@given(TEXT)
def test_however_a_published_vocabulary_merges_a_text_it_has_no_more_tokens_than_its_bound(text: str) -> None:
    words = WORDS.findall(text)
    assert "".join(words) == text
    assert sum(map(most_tokens, words)) <= len(text) - spared_in(text)


@given(st.text(max_size=50))
def test_no_text_spares_more_than_it_has(text: str) -> None:
    assert 0 <= spared_in(text) <= len(text.encode(errors="replace"))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_a_text_is_shorter_than_its_json_by_its_escapes(text: str) -> None:
    assert len(orjson.dumps(text)) - 2 >= len(text.encode()) + escapes_in(text)


def test_english_is_bounded_by_three_quarters_of_its_bytes() -> None:
    assert spared_in(PROSE) > len(PROSE) // 4


def chat(text: str = PROSE) -> tuple[dict[str, Any], bytes]:
    payload: dict[str, Any] = {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}
    return payload, orjson.dumps(payload)


def bound(demand: Demand) -> int:
    assert demand.input_tokens is not None
    return demand.input_tokens


@pytest.mark.parametrize("name", ["gpt-4o", "gpt-4.1-2025-04-14", "o3"])
def test_a_published_model_holds_less_for_the_same_text(name: str) -> None:
    demand = openai_chat_demand(*chat())
    known = at_model(demand, name, ADDRESS)
    assert bound(known) == bound(demand) - spared_in(PROSE)
    assert at_model(known, name, ADDRESS) == known


@pytest.mark.parametrize(
    ("name", "address"),
    [("gpt-6", ADDRESS), ("gpt-4o-audio-preview", ADDRESS), ("gpt-4", ADDRESS), ("gpt-4o", "https://x.example/v1")],
)
def test_any_other_model_keeps_the_bound_that_holds_for_all(name: str, address: str) -> None:
    demand = openai_chat_demand(*chat())
    assert at_model(demand, name, address) is demand


def test_what_has_no_bound_gets_none() -> None:
    payload = {"input": PROSE, "previous_response_id": "r"}
    demand = openai_response_demand(payload, orjson.dumps(payload))
    assert at_model(demand, "gpt-4o", ADDRESS) is demand


def test_texts_are_looked_at_in_every_place_where_a_model_reads_them() -> None:
    payload = {"instructions": PROSE, "input": [{"type": "function_call_output", "output": PROSE}]}
    assert openai_response_demand(payload, orjson.dumps(payload)).spared == 2 * spared_in(PROSE)
    result = {"type": "tool_result", "content": [{"type": "text", "text": PROSE}]}
    messages = [{"content": PROSE}, {"content": [result, {"type": "tool_use", "input": {"text": PROSE}}]}]
    assert texts_of(messages, PROSE) == [PROSE] * 3
    short = chat(PROSE[: LONG_BODY - 100])
    assert len(short[1]) < LONG_BODY
    assert openai_chat_demand(*short).spared == 0


def test_what_is_new_in_a_known_conversation_spares_tokens_too() -> None:
    recall, (first, body) = Recall(), chat()
    opened = trail_of(recall, first, body, openai_chat_demand(first, body), conversation="messages", scope=1)
    assert opened is not None
    opened.learn(7, Tokens(input=700))
    grown = {"messages": [*chat()[0]["messages"], {"role": "assistant", "content": PROSE}]}
    body = orjson.dumps(grown)
    demand = openai_chat_demand(grown, body)
    trail = trail_of(recall, grown, body, demand, conversation="messages", scope=1)
    assert trail is not None
    any_model = bound(trail.tightened(demand, 7))
    again = trail_of(recall, grown, body, demand, conversation="messages", scope=1)
    assert again is not None
    published = bound(again.tightened(at_model(demand, "gpt-4o", ADDRESS), 7))
    assert any_model - published == spared_in(PROSE)
    assert published >= 700 + most_words(PROSE)


def most_words(text: str) -> int:
    return sum(map(most_tokens, WORDS.findall(text)))
