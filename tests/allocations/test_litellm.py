"""A LiteLLM proxy whose calls are metered: real proxy, real providers' answers, the stock SDK in front of it."""

import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx2 as httpx
import openai
import pytest

from allocations.models import OutsideCall
from ledger.checks import breaches
from ledger.money import plain
from tests.allocations.gateways import House, Purse, Server, chat, message, response, sandbox, seen, serve
from tests.allocations.litellms import MASTER_KEY, litellm, settings
from tests.allocations.sdks import HELLO, Attempts
from tests.conftest import FreshDatabase
from tests.environments import NotToBeHad
from tests.processes import answers, until

pytestmark = pytest.mark.slow

ASTRA, SONNET, MEDIUM = "gpt-6-astra", "claude-sonnet-5-5", "tank-medium"
COMPLETION, COMPLETION_STREAM = "openai_chat_completion.json", "openai_chat_stream_include_usage.sse"
RESPONSE, RESPONSE_STREAM = "openai_response.json", "openai_response_stream.sse"
MESSAGE, MESSAGE_STREAM = "anthropic_message.json", "anthropic_stream.sse"
# What those answers say: input, cache read, cache write for five minutes and an hour, output.
OPENAIS, ANTHROPICS = (412, 1850, 96, 0, 612), (412, 18_500, 1_000, 96, 612)
CALLERS, FITTING = 60, 10


@pytest.fixture(scope="module")
def tank(module_database: FreshDatabase, house: House) -> Iterator[Server]:
    with serve("marketplace.asgi:application", module_database.env, ready="/readyz") as server:
        yield server


@pytest.fixture(scope="module")
def proxy(
    module_database: FreshDatabase, upstream: Server, tank: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Run LiteLLM with our hook, in front of the sandbox and of recorded answers."""
    with sandbox(module_database) as box:
        models = {
            ASTRA: ("openai", f"{upstream.url}/v1"),
            SONNET: ("anthropic", upstream.url),
            MEDIUM: ("openai", f"{box.url}/sandbox/v1"),
        }
        try:
            with litellm(tmp_path_factory.mktemp("litellm"), settings(models), tank.url) as server:
                yield server
        except NotToBeHad as reason:
            pytest.skip(f"LiteLLM is not here: {reason}")


@pytest.fixture(autouse=True)
def proven(proxy: Server, upstream: Server, house: House) -> Iterator[None]:
    """Prove after every story that quotas, holds and records agree."""
    seen(upstream)
    yield
    assert breaches() == []


def asked(upstream: Server) -> list[str]:
    """Return the paths of the calls that reached the provider."""
    return [call["path"] for call in seen(upstream) if call["body"]]


def sdk(proxy: Server, purse: Purse, attempts: Attempts, **headers: str) -> openai.OpenAI:
    sent = {"x-tank-key": purse.secret, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return openai.OpenAI(
        base_url=f"{proxy.url}/v1", api_key=MASTER_KEY, http_client=attempts.client, default_headers=sent
    )


def post(proxy: Server, purse: Purse, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    sent = {"authorization": f"Bearer {MASTER_KEY}", "x-tank-key": purse.secret}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{proxy.url}{path}", json=body, headers=sent, timeout=60)


def tokens(purse: Purse) -> tuple[str, tuple[int, ...]]:
    """Return how its only call was settled, and the tokens of every class; nothing is held any more."""
    assert (purse.quota().held, purse.quota().spent) == (0, purse.record.charged)
    one = purse.record
    counts = (one.input_tokens, one.cache_read_tokens, one.cache_write_5m_tokens, one.cache_write_1h_tokens)
    return one.settle_kind, (*counts, one.output_tokens)


# --- What is charged ------------------------------------------------------------------------------------------


def test_a_call_is_held_and_charged_once_for_what_its_provider_reports(
    proxy: Server, upstream: Server, purse: Purse, attempts: Attempts
) -> None:
    client = sdk(proxy, purse, attempts, x_play=COMPLETION, x_tank_tags="workflow=triage, step=2")
    answer = client.chat.completions.with_raw_response.create(model=ASTRA, messages=HELLO)

    assert tokens(purse) == ("exact", OPENAIS)
    record = purse.record
    assert (record.model.name, record.surface, record.streamed) == (ASTRA, "chat/completions", False)
    assert (record.model_returned, record.upstream_id, record.service_tier) == (ASTRA, "chatcmpl-abc", "default")
    assert record.tags == {
        "workflow": "triage", "step": "2", "litellm_call_id": answer.headers["x-litellm-call-id"],
    }  # fmt: skip
    told = {name: answer.headers[name] for name in ("x-tank-model", "x-tank-cost", "x-tank-remaining")}
    left = plain(50 - record.cost)
    assert told == {"x-tank-model": ASTRA, "x-tank-cost": plain(record.cost), "x-tank-remaining": left}
    # The request had no cap: it got the one that was held. The quota key went no further.
    (call,) = [call for call in seen(upstream) if call["body"]]
    assert '"max_completion_tokens":4096' in call["body"]
    assert purse.secret not in f"{call} {proxy.running.output}"


@pytest.mark.parametrize("wants_usage", [False, True])
def test_a_stream_is_charged_the_same_and_its_client_sees_the_usage_that_it_asked_for(
    proxy: Server, purse: Purse, attempts: Attempts, wants_usage: bool
) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if wants_usage else {}
    client = sdk(proxy, purse, attempts, x_play=COMPLETION_STREAM)
    chunks = list(client.chat.completions.create(model=ASTRA, messages=HELLO, stream=True, **options))
    # The SDK has read to the end, so the call is in the books.
    assert tokens(purse) == ("exact", OPENAIS)
    assert purse.record.streamed
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "ok"
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [2970] * wants_usage


@pytest.mark.parametrize(
    ("path", "body", "play", "counts"),
    [
        ("responses", response(ASTRA), RESPONSE, OPENAIS),
        ("responses", response(ASTRA, stream=True), RESPONSE_STREAM, OPENAIS),
        ("responses", response(SONNET), MESSAGE, ANTHROPICS),
        ("messages", message(SONNET), MESSAGE, ANTHROPICS),
        ("messages", message(SONNET, stream=True), MESSAGE_STREAM, ANTHROPICS),
        ("messages", message(ASTRA), RESPONSE, OPENAIS),
        ("messages", message(ASTRA, stream=True), RESPONSE_STREAM, OPENAIS),
        ("chat/completions", chat(SONNET), MESSAGE, ANTHROPICS),
        ("chat/completions", chat(SONNET, stream=True), MESSAGE_STREAM, ANTHROPICS),
        ("embeddings", {"model": ASTRA, "input": "How are you?"}, "openai_embeddings.json", (8, 0, 0, 0, 0)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_surface_is_counted_in_exclusive_classes_whoever_answers(
    proxy: Server, house: House, path: str, body: dict[str, Any], play: str, counts: tuple[int, ...]
) -> None:
    purse = house.purse("50")
    assert post(proxy, purse, f"/v1/{path}", body, x_play=play).status_code == 200
    assert tokens(purse) == ("exact", counts)
    assert (purse.record.surface, purse.record.streamed) == (path, body.get("stream", False))


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_does_not_say_what_was_used_is_charged_at_the_bound(
    proxy: Server, house: House, stream: bool
) -> None:
    purse = house.purse("50")
    body = chat(MEDIUM, max_tokens=500, stream=stream)
    assert post(proxy, purse, "/v1/chat/completions", body, x_sandbox_fault="no-usage").status_code == 200
    kind, counts = tokens(purse)
    assert (kind, counts[-1]) == ("bound", 500)  # LiteLLM would have guessed


def test_a_client_that_hangs_up_is_charged_for_what_was_seen(proxy: Server, purse: Purse, attempts: Attempts) -> None:
    client = sdk(proxy, purse, attempts, x_sandbox_chunk_delay_ms="200", x_sandbox_output_tokens="200")
    with client.chat.completions.create(model=MEDIUM, messages=HELLO, stream=True) as stream:
        assert next(iter(stream)).model == MEDIUM
    until(lambda: bool(purse.records), within=30, what="the settle")
    kind, counts = tokens(purse)
    assert kind == "estimated"
    assert counts[-1] < 200


def test_tank_chooses_the_model(proxy: Server, purse: Purse, attempts: Attempts) -> None:
    client = sdk(proxy, purse, attempts, x_play=MESSAGE)
    answer = client.chat.completions.with_raw_response.create(model="tank/auto", messages=HELLO)
    record = purse.record
    assert (answer.headers["x-tank-model"], record.model.name, record.served_because) == (SONNET, SONNET, "auto")


# --- What is refused ------------------------------------------------------------------------------------------


def test_a_spent_line_stops_a_call_in_tanks_words_before_it_reaches_the_provider(
    proxy: Server, upstream: Server, house: House, attempts: Attempts
) -> None:
    purse = house.purse("0.001")
    with pytest.raises(openai.RateLimitError) as stopped:
        sdk(proxy, purse, attempts, x_play=COMPLETION).chat.completions.create(
            model=ASTRA, messages=HELLO, max_tokens=4000
        )
    error: Any = stopped.value.body
    assert (stopped.value.status_code, stopped.value.code, stopped.value.type) == (429, *["insufficient_quota"] * 2)
    assert error["message"].startswith("Budget exhausted: this call may cost up to $0.02")
    assert (error["details"]["budget"], error["details"]["remaining"]) == ("line:standard", "0.001")
    assert (attempts.count, asked(upstream)) == (1, [])
    assert (purse.records, purse.quota().held) == ([], 0)


def test_sixty_at_once_get_exactly_what_the_budget_is_for(proxy: Server, house: House, attempts: Attempts) -> None:
    # Whoever passes is charged the bound, so nothing becomes free again.
    body, fault = chat(MEDIUM, max_tokens=1000), {"x_sandbox_fault": "no-usage"}
    sample = house.purse("50")
    assert post(proxy, sample, "/v1/chat/completions", body, **fault).status_code == 200
    purse = house.purse(plain(sample.record.cost * FITTING))

    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(post, proxy, purse, "/v1/chat/completions", body, **fault) for _ in range(CALLERS)]
        statuses = Counter(call.result().status_code for call in calls)

    assert statuses == {200: FITTING, 429: CALLERS - FITTING}
    quota = purse.quota()
    assert (quota.spent, quota.held, len(purse.records)) == (quota.limit, 0, FITTING)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": ASTRA, "prompt": "Hello"}),
        ("/v1/images/generations", {"model": ASTRA, "prompt": "A tank"}),
        ("/v1/chat/completions", chat(ASTRA, extra_body={"n": 8})),
        ("/v1/chat/completions", chat(ASTRA, max_tokens=1, additional_drop_params=["max_tokens"])),
        ("/v1/chat/completions", chat(ASTRA, tools=[{"type": "web_search_preview"}])),
        ("/v1/chat/completions", chat(f"{ASTRA},{SONNET}")),
    ],
)
def test_what_cannot_be_metered_does_not_pass(
    proxy: Server, upstream: Server, purse: Purse, path: str, body: dict[str, Any]
) -> None:
    assert post(proxy, purse, path, body, x_play=COMPLETION).status_code in (400, 404)
    assert (asked(upstream), purse.records, purse.quota().held) == ([], [], 0)


def test_without_a_quota_key_nothing_passes(proxy: Server, upstream: Server, attempts: Attempts) -> None:
    headers = {"x-play": COMPLETION}
    client = openai.OpenAI(base_url=f"{proxy.url}/v1", api_key=MASTER_KEY, default_headers=headers)
    with pytest.raises(openai.AuthenticationError) as stopped:
        client.chat.completions.create(model=ASTRA, messages=HELLO)
    assert (stopped.value.code, asked(upstream)) == ("invalid_api_key", [])


def test_a_call_id_that_a_client_chose_buys_one_call(proxy: Server, purse: Purse) -> None:
    for _ in range(2):
        answer = post(
            proxy, purse, "/v1/chat/completions", chat(ASTRA), x_play=COMPLETION, x_litellm_call_id="the-same"
        )
        assert answer.status_code == 200
    assert len(purse.records) == 2


# --- What goes wrong ------------------------------------------------------------------------------------------


def test_a_call_that_fails_gives_its_hold_back(proxy: Server, upstream: Server, purse: Purse) -> None:
    assert post(proxy, purse, "/v1/chat/completions", chat(ASTRA), x_play="500").status_code == 500
    assert len(asked(upstream)) == 2  # LiteLLM has tried again
    assert (purse.records, purse.quota().held, purse.quota().spent) == ([], 0, 0)


def test_a_retry_inside_litellm_is_charged_once(proxy: Server, upstream: Server, purse: Purse) -> None:
    answer = post(proxy, purse, "/v1/chat/completions", chat(ASTRA), x_play=f"500|{COMPLETION}")
    assert (answer.status_code, len(asked(upstream))) == (200, 2)
    assert tokens(purse) == ("exact", OPENAIS)
    assert OutsideCall.objects.filter(key=purse.key.pk).count() == 1


def test_a_fallback_is_held_and_charged_as_the_model_that_it_is(proxy: Server, upstream: Server, purse: Purse) -> None:
    body = chat(ASTRA, fallbacks=[SONNET])
    answer = post(proxy, purse, "/v1/chat/completions", body, x_play=f"500|500|{MESSAGE}")
    assert (answer.status_code, answer.json()["model"]) == (200, SONNET)
    assert asked(upstream) == ["/v1/chat/completions", "/v1/chat/completions", "/v1/messages"]
    assert tokens(purse) == ("exact", ANTHROPICS)
    assert purse.record.model.name == SONNET


def test_a_fallback_that_the_budget_is_not_for_is_not_called(proxy: Server, upstream: Server, house: House) -> None:
    purse = house.purse("0.03")  # enough for four thousand tokens at six dollars a million, not at nine
    body = chat(ASTRA, fallbacks=[SONNET], max_tokens=4000)
    assert post(proxy, purse, "/v1/chat/completions", body, x_play=f"500|500|{MESSAGE}").status_code >= 400
    assert asked(upstream) == ["/v1/chat/completions"] * 2
    assert (purse.records, purse.quota().held) == ([], 0)


def test_a_provider_that_did_not_answer_in_time_may_have_worked(proxy: Server, purse: Purse) -> None:
    body = chat(ASTRA, timeout=1, num_retries=0)
    assert post(proxy, purse, "/v1/chat/completions", body, x_play="silence").status_code == 408
    kind, counts = tokens(purse)
    assert (kind, counts[-1]) == ("estimated", 0)
    assert purse.record.cost == Decimal(counts[0] * 2) / 1_000_000


def test_while_tank_is_away_no_call_passes(proxy: Server, tank: Server, upstream: Server, purse: Purse) -> None:
    tank.running.send(signal.SIGSTOP)
    try:
        answer = post(proxy, purse, "/v1/chat/completions", chat(ASTRA), x_play=COMPLETION)
    finally:
        tank.running.send(signal.SIGCONT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "meter_unavailable")
    assert answer.headers["retry-after"] == "2"
    assert asked(upstream) == []
    # Should Tank hold now what it was asked for then, that is given back: nobody waits for it any more.
    until(lambda: answers(f"{tank.url}/readyz") and purse.quota().held == 0, within=60, what="the hold's return")
    assert post(proxy, purse, "/v1/chat/completions", chat(ASTRA), x_play=COMPLETION).status_code == 200
    assert tokens(purse) == ("exact", OPENAIS)


def test_what_tank_could_not_hear_it_is_told_later(proxy: Server, tank: Server, upstream: Server, purse: Purse) -> None:
    with ThreadPoolExecutor(1) as pool:
        delay = {"x_sandbox_delay_ms": "1500"}
        call = pool.submit(post, proxy, purse, "/v1/chat/completions", chat(MEDIUM), **delay)
        until(lambda: purse.quota().held > 0, within=30, what="the hold")
        tank.running.send(signal.SIGSTOP)
        try:
            assert call.result().status_code == 200
            assert (purse.records, purse.quota().held > 0) == ([], True)
        finally:
            tank.running.send(signal.SIGCONT)
    until(lambda: bool(purse.records), within=60, what="the settle")
    assert tokens(purse)[0] == "exact"
