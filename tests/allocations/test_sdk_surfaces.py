"""The stock SDKs on every surface, plain and streamed: tools, structured answers, pictures, vectors, counting."""

from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from tests.allocations.gateways import Purse
from tests.allocations.sdks import HELLO, MEDIUM, Attempts, of_anthropic, of_openai

pytestmark = pytest.mark.usefixtures("module_database")

ASTRA, SONNET = "gpt-6-astra", "claude-sonnet-5-5"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CITIES = [{"city": "Łódź"}, {"city": "Oslo"}]


class Step(BaseModel):
    explanation: str
    output: int | None
    is_done: bool


class Plan(BaseModel):
    steps: list[Step]
    verdict: str


def test_chat_completions_parse_into_classes(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts)
    plan = client.chat.completions.parse(model=MEDIUM, messages=HELLO, response_format=Plan).choices[0].message.parsed
    assert plan is not None
    assert (len(plan.steps), bool(plan.verdict)) == (2, True)
    with client.chat.completions.stream(model=MEDIUM, messages=HELLO, response_format=Plan) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == plan
    assert [record.settle_kind for record in purse.records] == ["exact", "exact"]


def test_a_truncated_structured_answer_says_that_it_is(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts)
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model=MEDIUM, messages=HELLO, response_format=Plan, max_completion_tokens=3)
    assert purse.record.output_tokens == 3


def test_a_tool_is_called_in_a_chat(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts)
    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": CITY}}]
    first = client.chat.completions.create(model=MEDIUM, messages=HELLO, tools=tools, tool_choice="required")
    (call,) = first.choices[0].message.tool_calls or []
    assert (first.choices[0].finish_reason, call.type) == ("tool_calls", "function")
    answered: Any = [*HELLO, first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "12 °C"}]
    last = client.chat.completions.create(model=MEDIUM, messages=answered, tools=tools, n=2)
    assert [choice.finish_reason for choice in last.choices] == ["stop", "stop"]
    assert [record.output_tokens > 0 for record in purse.records] == [True, True]


def test_a_picture_is_seen_in_every_dialect(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    ours, theirs = of_openai(gateway_url, purse, attempts), of_anthropic(gateway_url, purse, attempts)
    data_url = f"data:image/png;base64,{PIXEL}"
    chat: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": data_url}}]}]
    items: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": data_url, "detail": "low"}]}]
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    blocks: Any = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    ours.chat.completions.create(model=MEDIUM, messages=chat)
    ours.responses.create(model=MEDIUM, input=items)
    theirs.messages.create(model=MEDIUM, messages=blocks, max_tokens=20)
    assert [record.input_tokens for record in purse.records] == [1000, 1000, 1000]


def test_responses_answer(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts)
    response = client.responses.create(model=MEDIUM, input="Say something.", instructions="Be brief.")
    assert response.output_text.startswith("Sandbox answer")
    assert response.usage is not None
    assert response.usage.output_tokens == purse.record.output_tokens
    assert response._request_id == str(purse.record.request_id)


def test_responses_stream(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts)
    whole = client.responses.create(model=MEDIUM, input=HELLO)
    with client.responses.stream(model=MEDIUM, input=HELLO) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == whole.output_text
    assert final.usage is not None
    assert [record.output_tokens for record in purse.records] == [final.usage.output_tokens] * 2


def test_responses_parse_into_classes(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts)
    plan = client.responses.parse(model=MEDIUM, input=HELLO, text_format=Plan).output_parsed
    assert plan is not None
    assert len(plan.steps) == 2
    with client.responses.stream(model=MEDIUM, input=HELLO, text_format=Plan) as stream:
        assert stream.get_final_response().output_parsed == plan


def test_a_tool_is_called_in_a_response(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts)
    tools: Any = [{"type": "function", "name": "get_weather", "parameters": CITY, "strict": True}]
    first = client.responses.create(model=MEDIUM, input=HELLO, tools=tools, tool_choice="required")
    (call,) = first.output
    assert isinstance(call, openai.types.responses.ResponseFunctionToolCall)
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "12 °C"}
    followed: Any = [*HELLO, call.model_dump(), output]
    with client.responses.stream(model=MEDIUM, input=followed, tools=tools) as stream:
        assert stream.get_final_response().output_text.startswith("Sandbox answer")
    assert len(purse.records) == 2


def test_embeddings_come_as_numbers(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts)
    packed = client.embeddings.create(model=MEDIUM, input=["one", "two"], dimensions=16)
    plain = client.embeddings.create(model=MEDIUM, input=["one", "two"], dimensions=16, encoding_format="float")
    assert [len(entry.embedding) for entry in packed.data] == [16, 16]
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, rel=1e-6)
    assert packed.usage.prompt_tokens == purse.records[0].input_tokens == 2


def test_a_tool_is_used_in_a_message(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_anthropic(gateway_url, purse, attempts)
    tools: Any = [{"name": "get_weather", "input_schema": CITY}]
    first = client.messages.create(
        model=MEDIUM, messages=HELLO, max_tokens=100, tools=tools, tool_choice={"type": "any"}
    )
    (use,) = first.content
    assert isinstance(use, anthropic.types.ToolUseBlock)
    assert (first.stop_reason, list(use.input)) == ("tool_use", ["city"])
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "12 °C"}
    followed: Any = [*HELLO, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    with client.messages.stream(model=MEDIUM, messages=followed, max_tokens=100, tools=tools) as stream:
        assert stream.get_final_text().startswith("Sandbox answer")
    assert len(purse.records) == 2


def test_messages_parse_into_classes(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_anthropic(gateway_url, purse, attempts)
    with client.messages.stream(model=MEDIUM, messages=HELLO, max_tokens=200, output_format=Plan) as stream:
        plan = stream.get_final_message().parsed_output
    assert plan is not None
    assert len(plan.steps) == 2


def test_tokens_of_a_message_are_counted(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_anthropic(gateway_url, purse, attempts)
    count = client.messages.count_tokens(model=MEDIUM, messages=HELLO, system="Be brief.")
    answer = client.messages.create(model=MEDIUM, messages=HELLO, system="Be brief.", max_tokens=10)
    assert count.input_tokens == answer.usage.input_tokens == purse.record.input_tokens


# --- Recorded answers of the providers -------------------------------------------------------------------------


def played(name: str) -> dict[str, str]:
    return {"x-play": name, "x-play-chunk": "17"}


def test_a_recorded_chat_with_parallel_tools_is_read(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts, **played("openai_chat_stream_tools.sse"))
    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": CITY, "strict": True}}]
    with client.chat.completions.stream(model=ASTRA, messages=HELLO, tools=tools) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls or []
    assert [call.function.parsed_arguments for call in calls] == CITIES
    assert (purse.record.output_tokens, purse.record.settle_kind) == (612, "exact")


def test_a_recorded_message_with_thinking_and_parallel_tools_is_read(
    gateway_url: str, purse: Purse, attempts: Attempts
) -> None:
    client = of_anthropic(gateway_url, purse, attempts, **played("anthropic_stream_tools.sse"))
    with client.messages.stream(
        model=SONNET, messages=HELLO, max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024}
    ) as stream:
        blocks = stream.get_final_message().content
    assert [block.input for block in blocks if isinstance(block, anthropic.types.ToolUseBlock)] == CITIES
    assert (purse.record.output_tokens, purse.record.reasoning_tokens) == (612, 448)


def test_a_recorded_response_is_read(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    response = of_openai(gateway_url, purse, attempts, **played("openai_response.json")).responses.create(
        model=ASTRA, input="hi"
    )
    assert (response.output_text, response.model) == ("ok", ASTRA)
    assert (purse.record.cache_read_tokens, purse.record.cache_write_5m_tokens) == (1850, 96)


def test_a_recorded_streamed_response_with_a_tool_is_read(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts, **played("openai_response_stream_tools.sse"))
    tools: Any = [{"type": "function", "name": "get_weather", "parameters": CITY, "strict": True}]
    with client.responses.stream(model=ASTRA, input="hi", tools=tools) as stream:
        _, call = stream.get_final_response().output
    assert isinstance(call, openai.types.responses.ResponseFunctionToolCall)
    assert call.arguments == '{"city":"Łódź"}'
    assert purse.record.output_tokens == 612


def test_recorded_embeddings_are_read(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts, **played("openai_embeddings.json"))
    made = client.embeddings.create(model=ASTRA, input="hi", encoding_format="float")
    assert (made.data[0].embedding, purse.record.input_tokens) == ([0.0023, -0.0093], 8)


def test_a_recorded_count_is_read(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_anthropic(gateway_url, purse, attempts, **played("anthropic_count_tokens.json"))
    assert client.messages.count_tokens(model=SONNET, messages=HELLO).input_tokens == 2358
    assert purse.records == []


def test_a_recorded_response_that_errs_says_so(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts, **played("errors/openai_response_stream_error.sse"))
    *_, last = client.responses.create(model=ASTRA, input="hi", stream=True)
    assert last.type == "error"
    assert (attempts.count, purse.record.settle_kind) == (1, "estimated")


def test_a_recorded_response_that_failed_says_so(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts, **played("errors/openai_response_stream_failed.sse"))
    *_, last = client.responses.create(model=ASTRA, input="hi", stream=True)
    assert last.type == "response.failed"
    assert (attempts.count, purse.record.settle_kind) == (1, "estimated")


def test_a_response_that_breaks_raises(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts, **{"x-sandbox-fault": "cut"})
    with pytest.raises(openai.APIError, match="broke off"):
        list(client.responses.create(model=MEDIUM, input="hi", stream=True))
    assert (attempts.count, purse.record.settle_kind) == (1, "estimated")
