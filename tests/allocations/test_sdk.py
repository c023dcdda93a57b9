"""The stock SDKs against the gateway: they get their answers, and react rightly to every refusal.

How often an SDK tries is counted at its HTTP client; what it does on each kind of error decides what Tank sends.
"""

from typing import Any

import anthropic
import openai
import pytest

from allocations.services import key_revoke
from tests.allocations.gateways import House, Purse
from tests.allocations.sdks import HELLO, MEDIUM, Attempts, of_anthropic, of_openai

pytestmark = pytest.mark.usefixtures("module_database")

# --- It works ------------------------------------------------------------------------------------------------


def test_openai_answers(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    completion = of_openai(gateway_url, purse, attempts).chat.completions.create(model=MEDIUM, messages=HELLO)
    text = completion.choices[0].message.content
    assert text is not None
    assert text.startswith("Sandbox answer")
    assert completion.usage is not None
    assert completion.usage.completion_tokens == purse.record.output_tokens
    assert completion._request_id == str(purse.record.request_id)


def test_openai_streams(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts)
    whole = client.chat.completions.create(model=MEDIUM, messages=HELLO).choices[0].message.content
    chunks = list(client.chat.completions.create(model=MEDIUM, messages=HELLO, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert all(chunk.choices for chunk in chunks)
    assert [record.output_tokens for record in purse.records] == [purse.records[0].output_tokens] * 2


def test_openai_streams_with_the_usage_it_ordered(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    *_, last = of_openai(gateway_url, purse, attempts).chat.completions.create(
        model=MEDIUM, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert last.usage is not None
    assert (last.choices, last.usage.completion_tokens) == ([], purse.record.output_tokens)


def test_anthropic_answers(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    answer = of_anthropic(gateway_url, purse, attempts).messages.create(model=MEDIUM, messages=HELLO, max_tokens=100)
    block = answer.content[0]
    assert isinstance(block, anthropic.types.TextBlock)
    assert block.text.startswith("Sandbox answer")
    assert answer.usage.output_tokens == purse.record.output_tokens


def test_anthropic_streams(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_anthropic(gateway_url, purse, attempts)
    with client.messages.stream(model=MEDIUM, messages=HELLO, max_tokens=20) as stream:
        text = "".join(stream.text_stream)
        answer = stream.get_final_message()
    assert answer.stop_reason == "max_tokens"
    assert (answer.usage.output_tokens, len(text.encode())) == (20, 80)
    assert purse.record.output_tokens == 20


def test_both_list_the_models(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    openais = [model.id for model in of_openai(gateway_url, purse, attempts).models.list()]
    anthropics = [model.id for model in of_anthropic(gateway_url, purse, attempts).models.list()]
    assert openais == ["gpt-6-astra", MEDIUM]
    assert anthropics == ["claude-sonnet-5-5", MEDIUM]
    assert of_openai(gateway_url, purse, attempts).models.retrieve(MEDIUM).owned_by == "sandbox"
    assert of_anthropic(gateway_url, purse, attempts).models.retrieve(MEDIUM).id == MEDIUM


# --- Refusals that trying again would not change ---------------------------------------------------------------


def test_openai_does_not_try_again_without_budget(gateway_url: str, house: House, attempts: Attempts) -> None:
    client = of_openai(gateway_url, house.purse("0.00001"), attempts)
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model=MEDIUM, messages=HELLO)
    assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")
    assert attempts.count == 1


def test_anthropic_does_not_try_again_without_budget(gateway_url: str, house: House, attempts: Attempts) -> None:
    client = of_anthropic(gateway_url, house.purse("0.00001"), attempts)
    with pytest.raises(anthropic.APIStatusError) as refused:
        client.messages.create(model=MEDIUM, messages=HELLO, max_tokens=10)
    assert (refused.value.status_code, type(refused.value).__name__) == (402, "PaymentRequiredError")
    assert attempts.count == 1


def test_a_revoked_key_is_an_authentication_error_at_once(gateway_url: str, house: House, attempts: Attempts) -> None:
    purse = house.purse()
    key_revoke(actor=house.actor, key=purse.key, reason="Leaked")
    with pytest.raises(openai.AuthenticationError):
        of_openai(gateway_url, purse, attempts).chat.completions.create(model=MEDIUM, messages=HELLO)
    with pytest.raises(anthropic.AuthenticationError):
        of_anthropic(gateway_url, purse, attempts).messages.create(model=MEDIUM, messages=HELLO, max_tokens=10)
    assert attempts.count == 2


def test_an_unknown_model_is_not_found_at_once(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        of_openai(gateway_url, purse, attempts).chat.completions.create(model="gpt-nothing", messages=HELLO)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError):
        of_anthropic(gateway_url, purse, attempts).messages.create(model="none", messages=HELLO, max_tokens=10)
    assert attempts.count == 2


def test_a_bad_request_is_one_at_once(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        of_openai(gateway_url, purse, attempts).chat.completions.create(model=MEDIUM, messages=[])
    assert bad.value.param == "messages"
    with pytest.raises(anthropic.BadRequestError):
        of_anthropic(gateway_url, purse, attempts).messages.create(model=MEDIUM, messages=[], max_tokens=10)
    assert attempts.count == 2


def test_a_body_over_the_limit_is_refused_at_once(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    much: Any = [{"role": "user", "content": "x" * 11_000_000}]
    with pytest.raises(openai.APIStatusError) as large:
        of_openai(gateway_url, purse, attempts).chat.completions.create(model=MEDIUM, messages=much)
    assert large.value.status_code == 413
    with pytest.raises(anthropic.RequestTooLargeError):
        of_anthropic(gateway_url, purse, attempts).messages.create(model=MEDIUM, messages=much, max_tokens=10)
    assert attempts.count == 2


# --- Trouble that may pass -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut", "error-event"])
def test_a_stream_that_breaks_raises(gateway_url: str, purse: Purse, attempts: Attempts, fault: str) -> None:
    headers = {"x-sandbox-fault": fault}
    with pytest.raises(openai.APIError):
        list(
            of_openai(gateway_url, purse, attempts, **headers).chat.completions.create(
                model=MEDIUM, messages=HELLO, stream=True
            )
        )
    with pytest.raises(anthropic.APIError):
        list(
            of_anthropic(gateway_url, purse, attempts, **headers).messages.create(
                model=MEDIUM, messages=HELLO, max_tokens=50, stream=True
            )
        )
    assert attempts.count == 2
    assert [record.settle_kind for record in purse.records] == ["estimated", "estimated"]


# --- Recorded answers of the providers -------------------------------------------------------------------------


def test_openai_reads_a_recorded_answer(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts, **{"x-play": "openai_chat_completion.json"})
    completion = client.chat.completions.create(model="gpt-6-astra", messages=HELLO, max_tokens=900)
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 2358
    assert (purse.record.input_tokens, purse.record.cache_read_tokens) == (412, 1850)


def test_anthropic_reads_a_recorded_stream(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_anthropic(gateway_url, purse, attempts, **{"x-play": "anthropic_stream.sse", "x-play-chunk": "13"})
    with client.messages.stream(model="claude-sonnet-5-5", messages=HELLO, max_tokens=900) as stream:
        answer = stream.get_final_message()
    assert answer.usage.cache_read_input_tokens == purse.record.cache_read_tokens == 18500
    assert answer.usage.output_tokens == purse.record.output_tokens == 612


@pytest.mark.parametrize(
    ("play", "tries"),
    [("openai_429_insufficient_quota.json", 1), ("openai_429_project_spend_limit_exceeded.json", 1)],
)
def test_the_companys_own_limit_at_openai_is_not_tried_again(
    gateway_url: str, purse: Purse, attempts: Attempts, play: str, tries: int
) -> None:
    client = of_openai(gateway_url, purse, attempts, **{"x-play": f"errors/{play}"})
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="gpt-6-astra", messages=HELLO)
    assert (attempts.count, purse.records) == (tries, [])


@pytest.mark.parametrize(
    ("play", "tries"),
    [
        ("anthropic_400_usage_limit.json", 1),
        ("anthropic_402_billing_error.json", 1),
        ("anthropic_403_permission_error.json", 1),
        ("anthropic_429_enforced_spend_limit.json", 1),
        ("anthropic_529_overloaded.json", 3),
    ],
)
def test_anthropics_own_errors_are_tried_as_often_as_without_tank(
    gateway_url: str, purse: Purse, attempts: Attempts, play: str, tries: int
) -> None:
    client = of_anthropic(gateway_url, purse, attempts, **{"x-play": f"errors/{play}"})
    with pytest.raises(anthropic.APIStatusError):
        client.messages.create(model="claude-sonnet-5-5", messages=HELLO, max_tokens=10)
    assert (attempts.count, purse.records) == (tries, [])
