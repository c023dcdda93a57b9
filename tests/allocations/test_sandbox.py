"""The sandbox provider: the same answer to the same question, honest usage, and every fault on demand."""

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocations.sandbox import answer as answers
from allocations.sandbox.app import application
from tests.allocations.gateways import chat, message

PATHS = {"openai": "/sandbox/v1/chat/completions", "anthropic": "/sandbox/v1/messages"}
BOTH = pytest.mark.parametrize("dialect", ["openai", "anthropic"])


class Answer:
    """What an ASGI application sent."""

    def __init__(self, messages: list[MutableMapping[str, Any]]) -> None:
        self.status: int = messages[0]["status"]
        self.headers = dict(messages[0]["headers"])
        self.pieces = [part["body"] for part in messages[1:]]
        self.body = b"".join(self.pieces)
        self.is_whole = not messages[-1].get("more_body", False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(path: str, body: Any = None, method: str = "POST", **headers: str) -> Answer:
    return asyncio.run(_ask(path, body, method, headers))


async def _ask(path: str, body: Any, method: str, headers: dict[str, str]) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    waiting: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": content[:10], "more_body": True},
        {"type": "http.request", "body": content[10:]},
    ]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return waiting.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await application({"type": "http", "method": method, "path": path, "headers": given}, receive, send)
    return Answer(sent)


def request(dialect: str, **more: Any) -> dict[str, Any]:
    return (chat if dialect == "openai" else message)(**more)


def text_of(dialect: str, answer: Answer) -> str:
    document = answer.json
    text: str = document["choices"][0]["message"]["content"] if dialect == "openai" else document["content"][0]["text"]
    return text


def used(dialect: str, answer: Answer) -> tuple[int, int]:
    usage = answer.json["usage"]
    names = ("prompt_tokens", "completion_tokens") if dialect == "openai" else ("input_tokens", "output_tokens")
    return usage[names[0]], usage[names[1]]


def events(answer: Answer) -> list[Any]:
    lines = [line[6:] for line in answer.body.decode().split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


@BOTH
def test_the_same_question_gets_the_same_answer(dialect: str) -> None:
    first, again, other = (ask(PATHS[dialect], request(dialect, text=text)) for text in ("one", "one", "two"))
    assert [one.json | {"id": ""} for one in (first, again)] == [first.json | {"id": ""}] * 2
    assert first.json["id"] != again.json["id"]
    assert text_of(dialect, first).startswith("Sandbox answer")
    assert text_of(dialect, first) != text_of(dialect, other)


@BOTH
def test_usage_is_four_bytes_a_token(dialect: str) -> None:
    answer = ask(PATHS[dialect], request(dialect, text="x" * 401))
    assert used(dialect, answer) == (101, -(-len(text_of(dialect, answer)) // 4))


@BOTH
def test_the_cap_is_kept(dialect: str) -> None:
    answer = ask(PATHS[dialect], request(dialect, max_tokens=5))
    assert used(dialect, answer)[1] == 5
    assert len(text_of(dialect, answer)) == 20
    reason = answer.json["choices"][0]["finish_reason"] if dialect == "openai" else answer.json["stop_reason"]
    assert reason == ("length" if dialect == "openai" else "max_tokens")


@BOTH
def test_an_answer_is_as_long_as_asked_for(dialect: str) -> None:
    answer = ask(PATHS[dialect], request(dialect, max_tokens=500), x_sandbox_output_tokens="300")
    assert used(dialect, answer)[1] == 300
    assert len(text_of(dialect, answer)) == 1200


def test_every_choice_is_counted() -> None:
    answer = ask(PATHS["openai"], chat(n=3, max_tokens=5))
    assert len(answer.json["choices"]) == 3
    assert answer.json["usage"]["completion_tokens"] == 15


@BOTH
def test_a_stream_says_the_same_in_pieces(dialect: str) -> None:
    whole = ask(PATHS[dialect], request(dialect))
    stream = ask(PATHS[dialect], request(dialect, stream=True, stream_options={"include_usage": True}))
    told = events(stream)
    if dialect == "openai":
        text = "".join(event["choices"][0]["delta"].get("content", "") for event in told[:-2])
        assert (told[-1], told[-2]["choices"], told[-2]["usage"]) == ("[DONE]", [], whole.json["usage"])
    else:
        text = "".join(event["delta"]["text"] for event in told if event["type"] == "content_block_delta")
        assert told[-1] == {"type": "message_stop"}
        assert told[-2]["usage"]["output_tokens"] == whole.json["usage"]["output_tokens"]
    assert text == text_of(dialect, whole)


def test_usage_is_streamed_only_when_ordered() -> None:
    assert not [event for event in events(ask(PATHS["openai"], chat(stream=True))) if "usage" in event]


@BOTH
@pytest.mark.parametrize("status", ["400", "429", "500", "529"])
def test_an_error_on_demand(dialect: str, status: str) -> None:
    answer = ask(PATHS[dialect], request(dialect), x_sandbox_fault=status)
    assert answer.status == int(status)
    assert answer.json["error"]["message"] == "The sandbox was asked to fail."
    assert (b"retry-after" in answer.headers) is (status == "429")


@BOTH
def test_faults_of_an_answer(dialect: str) -> None:
    path, body = PATHS[dialect], request(dialect, max_tokens=10)
    assert "usage" not in ask(path, body, x_sandbox_fault="no-usage").json
    assert used(dialect, ask(path, body, x_sandbox_fault="overrun"))[1] == 1030
    assert ask(path, body, x_sandbox_fault="not-json").body == b"{not json"
    assert ask(path, body, x_sandbox_fault="redirect").status == 307
    assert not ask(path, body, x_sandbox_fault="cut").is_whole


@BOTH
def test_faults_of_a_stream(dialect: str) -> None:
    path, body = PATHS[dialect], request(dialect, stream=True)
    cut = ask(path, body, x_sandbox_fault="cut")
    assert (cut.is_whole, "[DONE]" in events(cut)) == (False, False)
    failed = ask(path, body, x_sandbox_fault="error-event")
    assert (failed.is_whole, events(failed)[-1]["error"]["message"]) == (True, "The sandbox was asked to fail.")


@BOTH
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {}),
        (b"[]", {}),
        ({"messages": "x"}, {}),
        ({"messages": [], "max_tokens": 0}, {}),
        ({"messages": [], "max_tokens": "5"}, {}),
        ({"messages": [{"content": "x" * 900_000}]}, {}),
        ({"messages": []}, {"x_sandbox_fault": "unknown"}),
        ({"messages": []}, {"x_sandbox_delay_ms": "-1"}),
        ({"messages": []}, {"x_sandbox_delay_ms": "9999999"}),
    ],
)
def test_a_bad_request(dialect: str, body: Any, headers: dict[str, str]) -> None:
    answer = ask(PATHS[dialect], body, **headers)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"


def test_models_and_paths() -> None:
    names = ["sandbox-frontier", "sandbox-standard", "sandbox-economy"]
    assert [model["id"] for model in ask("/sandbox/v1/models", method="GET").json["data"]] == names
    anthropic = ask("/sandbox/v1/models", method="GET", anthropic_version="2023-06-01").json
    assert (anthropic["first_id"], anthropic["has_more"]) == (names[0], False)
    assert ask("/sandbox/v1/nothing", {}).status == 404
    assert ask("/sandbox/v1/messages", method="GET").status == 404


@given(st.text(max_size=300), st.integers(1, 40))
def test_there_are_never_more_tokens_than_bytes(text: str, cap: int) -> None:
    payload = chat(text=text)
    answer = answers.make(payload, cap, None)
    assert 0 < answer.output_tokens <= min(cap, len(answer.text.encode()))
    assert 0 < answer.input_tokens <= max(1, len(text.encode()))
