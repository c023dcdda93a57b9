"""What a client sends reaches the provider byte for byte, whatever it asks for, but for what is documented."""

from typing import Any

import httpx2 as httpx
import orjson
import pytest

from tests.allocations.gateways import House, Server, seen

pytestmark = pytest.mark.usefixtures("module_database")

# Spaces, escapes and number forms that no library would write: whoever rebuilds a body changes them.
ODD = '"future_parameter" : {"deep":[1.50, 1E2,null , "\\u00e9\\/é"]},"model"'.encode()
PNG = "data:image/png;base64,iVBORw0KGgo="

CHAT: dict[str, dict[str, Any]] = {
    "tools in parallel": {
        "tools": [{"type": "function", "function": {"name": "model", "parameters": {"properties": {"model": {}}}}}],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    },
    "a picture": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]},
    "a schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"stream": {}}}}},
    "choices and probabilities": {"n": 2, "logprobs": True, "top_logprobs": 3, "logit_bias": {"50256": -100}},
    "effort": {"reasoning_effort": "high", "verbosity": "low", "max_completion_tokens": 500},
    "a prediction": {"prediction": {"type": "content", "content": "def f(): pass"}},
    "functions of old": {"functions": [{"name": "f", "parameters": {}}], "function_call": "auto"},
    "a stream with usage": {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
    "a flexible tier": {"service_tier": "flex", "store": True, "metadata": {"a": "b"}, "seed": 7, "stop": ["\n"]},
}
MESSAGES: dict[str, dict[str, Any]] = {
    "tools": {"tools": [{"name": "messages", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}},
    "a picture": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}],
            }
        ]
    },
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
    "a schema": {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"}},
    "caching": {"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
    "a stream": {"stream": True, "stop_sequences": ["x"], "top_k": 5, "metadata": {"user_id": "u"}},
    "a search result": {
        "messages": [{"role": "user", "content": [{"type": "search_result", "source": "s", "title": "t"}]}],
    },
}
RESPONSES: dict[str, dict[str, Any]] = {
    "tools": {"tools": [{"type": "function", "name": "input", "parameters": {}}, {"type": "custom", "name": "c"}]},
    "a tool's answer": {
        "input": [
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"model":"x"}'},
            {"type": "function_call_output", "call_id": "c", "output": "ok"},
        ]
    },
    "a picture": {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PNG}]}]},
    "a schema": {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"}},
    "reasoning": {"reasoning": {"effort": "high", "summary": "auto"}, "include": ["reasoning.encrypted_content"]},
    "a conversation": {"previous_response_id": "resp_1", "truncation": "auto", "store": True},
    "a stream": {"stream": True, "stream_options": {"include_obfuscation": False}, "top_logprobs": 2},
    "tools at the provider": {"tools": [{"type": "mcp", "server_label": "s"}], "max_tool_calls": 2},
}


def sent(http: httpx.Client, house: House, upstream: Server, path: str, play: str, body: bytes) -> bytes:
    """Return the body that the provider got."""
    purse = house.purse("5000")
    seen(upstream)
    answer = http.post(f"/v1/{path}", headers=purse.bearer | {"x-play": play}, content=body)
    assert answer.status_code == 200
    (request,) = seen(upstream)
    assert purse.record.settle_kind == "exact"
    text: str = request["body"]
    return text.encode()


def odd(payload: dict[str, Any]) -> bytes:
    """Return a body with things in it that only a body passed on untouched keeps."""
    return orjson.dumps(payload, option=orjson.OPT_INDENT_2).replace(b'"model"', ODD, 1)


@pytest.mark.parametrize("more", CHAT.values(), ids=CHAT.keys())
def test_a_chat_completion(http: httpx.Client, house: House, upstream: Server, more: dict[str, Any]) -> None:
    body = odd({"model": "gpt-6-astra", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 900} | more)
    play = "openai_chat_stream_include_usage.sse" if "stream" in more else "openai_chat_completion.json"
    assert sent(http, house, upstream, "chat/completions", play, body) == body


@pytest.mark.parametrize("more", MESSAGES.values(), ids=MESSAGES.keys())
def test_a_message(http: httpx.Client, house: House, upstream: Server, more: dict[str, Any]) -> None:
    payload = {"model": "claude-sonnet-5-5", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 900}
    body = odd(payload | more)
    play = "anthropic_stream.sse" if "stream" in more else "anthropic_message.json"
    assert sent(http, house, upstream, "messages", play, body) == body


@pytest.mark.parametrize("more", RESPONSES.values(), ids=RESPONSES.keys())
def test_a_response(http: httpx.Client, house: House, upstream: Server, more: dict[str, Any]) -> None:
    body = odd({"model": "gpt-6-astra", "input": "hi", "max_output_tokens": 900} | more)
    play = "openai_response_stream.sse" if "stream" in more else "openai_response.json"
    assert sent(http, house, upstream, "responses", play, body) == body


def test_embeddings(http: httpx.Client, house: House, upstream: Server) -> None:
    body = odd({"model": "gpt-6-astra", "input": ["a", "b"], "dimensions": 2, "user": "u"})
    assert sent(http, house, upstream, "embeddings", "openai_embeddings.json", body) == body


def test_only_what_is_documented_is_added(http: httpx.Client, house: House, upstream: Server) -> None:
    body = odd({"model": "gpt-6-astra", "messages": [{"role": "user", "content": "hi"}], "stream": True})
    play = "openai_chat_stream_include_usage.sse"
    added = b'{"stream_options":{"include_usage":true},"max_completion_tokens":4096,'
    assert sent(http, house, upstream, "chat/completions", play, body) == added + body[1:]
