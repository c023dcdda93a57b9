"""What a provider counted before tightens the bound, and never below what it honestly counts next."""

from decimal import Decimal
from typing import Any

import httpx2 as httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocations.gateway.anthropic_dialect import Messages
from allocations.gateway.dialect import Ask, Surface
from allocations.gateway.openai_dialect import ChatCompletions, Embeddings, Responses
from allocations.metering import recall as recalls
from allocations.metering.recall import Recall, Trail, trail_of
from allocations.metering.types import Tokens
from tests.allocations.gateways import House, chat

MODEL = 7
CHAT = ChatCompletions()
LONG = "Please read this again, and say what it means. " * 40


def asked(surface: Surface, payload: dict[str, Any]) -> tuple[Ask, bytes]:
    body = orjson.dumps(payload)
    return surface.ask(payload, body), body


def trail(recall: Recall, payload: dict[str, Any], surface: Surface = CHAT, scope: int = 1) -> tuple[Ask, Trail | None]:
    ask, body = asked(surface, payload)
    return ask, trail_of(recall, payload, body, ask.demand, conversation=surface.conversation, scope=scope)


def bound(recall: Recall, payload: dict[str, Any], *, model: int = MODEL, **more: Any) -> int:
    """Return the most input tokens of a request, with what is remembered."""
    ask, found = trail(recall, payload, **more)
    tokens = (ask.demand if found is None else found.tightened(ask.demand, model)).input_tokens
    assert tokens is not None
    return tokens


def learn(recall: Recall, payload: dict[str, Any], tokens: int) -> None:
    _, found = trail(recall, payload)
    assert found is not None
    found.learn(MODEL, Tokens(input=tokens))


def said(*texts: str, **more: Any) -> dict[str, Any]:
    """Return a chat in which two speak in turn."""
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]
    return {"model": "m", "messages": [{"role": "system", "content": LONG}, *messages], **more}


# --- Soundness -----------------------------------------------------------------------------------------------

TEXTS = st.lists(st.sampled_from(["a", "bb", "ccc ﷺ", LONG, LONG * 3]), max_size=5)


@given(st.lists(st.tuples(TEXTS, st.booleans()), min_size=1, max_size=8), st.sampled_from([1, 2, 4, 11]))
def test_no_honest_count_exceeds_what_is_recalled(requests: list[tuple[list[str], bool]], bytes_per_token: int) -> None:
    """A provider that counts messages one by one, whatever its tokenizer, in whatever order requests come."""
    recall = Recall()
    for texts, has_tools in requests:
        payload = said(*texts)
        if has_tools:
            payload["tools"] = [{"type": "function", "function": {"name": "f", "description": LONG}}]
        counted = 3 + sum(4 + len(text.encode()) // bytes_per_token for text in [LONG, *texts])
        counted += has_tools * (12 + len(LONG) // bytes_per_token)
        assert bound(recall, payload) >= counted
        _, found = trail(recall, payload)
        if found is not None:
            found.learn(MODEL, Tokens(input=counted))


def test_a_conversation_that_goes_on_is_bounded_by_what_is_new() -> None:
    recall, first = Recall(), said(LONG)
    fresh = bound(recall, first)
    learn(recall, first, 900)
    grown = said(LONG, "Well.", "And?")
    assert bound(recall, first) == 900 + recalls.SLACK < fresh
    assert bound(recall, grown) < 900 + 250 < bound(Recall(), grown)


def test_instructions_and_tools_are_known_from_any_call_that_had_them() -> None:
    recall = Recall()
    learn(recall, said("One?"), 480)
    assert bound(recall, said("Two, which is another question?")) < 480 + 200 < bound(Recall(), said("Two?"))


def test_the_cap_and_other_silent_parameters_may_differ_but_not_what_the_model_reads() -> None:
    recall = Recall()
    learn(recall, said(LONG), 900)
    known = bound(recall, said(LONG))
    assert bound(recall, said(LONG, max_tokens=5, temperature=1, stream=True)) == known
    for more in ({"response_format": {"type": "json_object"}}, {"tool_choice": "none"}, {"something_new": 1}):
        assert bound(recall, said(LONG, **more)) > known
    assert bound(recall, said(LONG), scope=2) > known
    assert bound(recall, said(LONG), model=MODEL + 1) > known


def test_one_call_is_bounded_in_one_way_to_its_end() -> None:
    recall = Recall()
    ask, found = trail(recall, said(LONG))
    assert found is not None
    before = found.tightened(ask.demand, MODEL)
    learn(recall, said(LONG), 900)
    assert found.tightened(ask.demand, MODEL) is before


def test_what_is_known_is_forgotten_in_time_and_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    recall, fresh = Recall(), bound(Recall(), said(LONG))
    monkeypatch.setattr(recalls, "SECONDS", 0)
    learn(recall, said(LONG), 900)
    assert bound(recall, said(LONG)) == fresh
    monkeypatch.undo()
    monkeypatch.setattr(recalls, "MOST_ENTRIES", 3)
    learn(recall, said(LONG), 900)
    learn(recall, said("x", LONG), 900)
    assert bound(recall, said(LONG)) >= 900
    assert len(recall._counts) == 3


def test_a_count_that_cannot_be_true_is_not_learned() -> None:
    recall = Recall()
    learn(recall, said(LONG), 5)
    assert bound(recall, said(LONG)) == bound(Recall(), said(LONG))


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 2000}}


@pytest.mark.parametrize(
    ("surface", "payload"),
    [
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": [PICTURE]}]}),
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": "short"}]}),
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": LONG}], "moderation": {"model": "x"}}),
        (Messages(), {"model": "m", "messages": [{"content": LONG}], "context_management": {"edits": []}}),
        (Responses(), {"model": "m", "input": [{"content": LONG}], "truncation": "auto"}),
        (Responses(), {"model": "m", "input": [{"content": LONG}], "previous_response_id": "r"}),
        (Responses(), {"model": "m", "input": LONG}),
        (Embeddings(), {"model": "m", "input": LONG}),
    ],
)
def test_where_it_says_nothing_it_is_not_asked(surface: Surface, payload: dict[str, Any]) -> None:
    assert trail(Recall(), payload, surface)[1] is None


# --- In the gateway --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("module_database")
def test_the_second_call_of_a_conversation_holds_less(http: httpx.Client, house: House) -> None:
    purse = house.purse()
    body = chat(text=LONG, max_tokens=16)
    first = http.post("/v1/chat/completions", headers=purse.bearer, json=body)
    answer = first.json()["choices"][0]["message"]
    spent = purse.quota().spent
    grown = body | {"messages": [*body["messages"], answer, {"role": "user", "content": "And?"}], "stream": True}
    second = http.post("/v1/chat/completions", headers=purse.bearer, json=grown)
    assert second.status_code == 200
    held = 50 - spent - Decimal(second.headers["x-tank-remaining"])
    assert held < Decimal(len(LONG)) / 1_000_000  # the bytes of its first text alone, at a dollar a million
    assert purse.quota().held == 0
