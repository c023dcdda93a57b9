"""Calls that are refused: in the provider's own shape, with a reason, and with nothing charged or held."""

import secrets as random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2 as httpx
import pytest

from allocations import secrets
from allocations.models import KeySecret, QuotaKey
from allocations.services import allocation_suspend, key_issue, key_revoke, key_rotate, key_suspend
from ledger.models import AiModel, Dialect, Provider, Tier
from ledger.services import provider_add
from tests.allocations.gateways import House, Purse, chat, message
from tests.processes import until

pytestmark = pytest.mark.usefixtures("module_database")

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
ASKS = {"openai": chat(), "anthropic": message()}
BOTH = pytest.mark.parametrize("dialect", ["openai", "anthropic"])


def call(http: httpx.Client, dialect: str, secret: str, body: Any = None, **headers: str) -> httpx.Response:
    key = (b"authorization", f"Bearer {secret}".encode()) if dialect == "openai" else (b"x-api-key", secret.encode())
    given = [key, *((name.encode(), value.encode()) for name, value in headers.items())]
    content = {"content": body} if isinstance(body, bytes) else {"json": ASKS[dialect] if body is None else body}
    return http.post(PATHS[dialect], headers=given, **content)


def error_of(dialect: str, answer: httpx.Response) -> tuple[Any, ...]:
    """Return status, type and code or request id, after checking the shape."""
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.headers["x-request-id"]) == 36
    body = answer.json()
    if dialect == "openai":
        assert set(body) == {"error"}
        assert {"message", "type", "param", "code"} <= set(body["error"])
        return answer.status_code, body["error"]["type"], body["error"]["code"]
    assert set(body) == {"type", "error", "request_id"}
    assert body["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]
    return answer.status_code, body["error"]["type"]


def message_of(answer: httpx.Response) -> str:
    text: str = answer.json()["error"]["message"]
    return text


def is_untouched(purse: Purse) -> bool:
    quota, own = purse.quota(), purse.key_quota
    return (quota.spent, quota.held, own.spent, own.held, purse.records) == (0, 0, 0, 0, [])


BAD_KEY = {
    "openai": (401, "invalid_request_error", "invalid_api_key"),
    "anthropic": (401, "authentication_error"),
}
BAD_REQUEST = {"openai": (400, "invalid_request_error", None), "anthropic": (400, "invalid_request_error")}
NO_MODEL = {"openai": (404, "invalid_request_error", "model_not_found"), "anthropic": (404, "not_found_error")}

# --- Keys ----------------------------------------------------------------------------------------------------


@BOTH
def test_a_call_without_a_key(http: httpx.Client, dialect: str) -> None:
    answer = http.post(PATHS[dialect], json=ASKS[dialect])
    assert error_of(dialect, answer) == BAD_KEY[dialect]
    assert message_of(answer).startswith("No key: send")


@BOTH
@pytest.mark.parametrize("secret", ["sk-something", "tank_", "tank_" + "a" * 38, "tank_é", "x" * 5000])
def test_what_is_no_tank_key(http: httpx.Client, dialect: str, secret: str) -> None:
    answer = call(http, dialect, secret)
    assert error_of(dialect, answer) == BAD_KEY[dialect]
    assert message_of(answer).startswith("This is not a Tank key")


@BOTH
def test_an_unknown_key(http: httpx.Client, dialect: str) -> None:
    secret = secrets.make()
    for _ in range(2):  # asked and remembered
        answer = call(http, dialect, secret)
        assert error_of(dialect, answer) == BAD_KEY[dialect]
        assert message_of(answer) == "This key is not known to Tank."


@BOTH
def test_a_revoked_key(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse()
    assert call(http, dialect, purse.secret).status_code == 200
    key_revoke(actor=house.actor, key=purse.key, reason="Leaked")
    answer = call(http, dialect, purse.secret)
    assert error_of(dialect, answer) == BAD_KEY[dialect]
    assert "revoked" in message_of(answer)
    assert len(purse.records) == 1


@BOTH
def test_a_suspended_key(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse()
    key_suspend(actor=house.actor, key=purse.key, reason="Looked odd")
    answer = call(http, dialect, purse.secret)
    assert error_of(dialect, answer) == BAD_KEY[dialect]
    assert message_of(answer) == "This key is suspended; its team can see why."


@BOTH
def test_an_expired_key(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse()
    soon = datetime.now(UTC) + timedelta(days=1)
    key, secret = key_issue(actor=house.actor, allocation=purse.allocation, name="brief", expires_at=soon)
    QuotaKey.objects.filter(pk=key.pk).update(expires_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    answer = call(http, dialect, secret)
    assert error_of(dialect, answer) == BAD_KEY[dialect]
    assert message_of(answer) == "This key expired on 2026-01-02 03:04 UTC."


@BOTH
def test_a_rotated_key_works_until_its_grace_is_over(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse()
    fresh = key_rotate(actor=house.actor, key=purse.key, grace=timedelta(hours=1))
    assert [call(http, dialect, secret).status_code for secret in (purse.secret, fresh)] == [200, 200]
    KeySecret.objects.filter(key=purse.key).exclude(expires_at=None).update(expires_at=datetime.now(UTC))
    # A grace that runs out is known beforehand; one that is cut short has to be heard of first.
    until(lambda: call(http, dialect, purse.secret).status_code == 401)
    answer = call(http, dialect, purse.secret)
    assert error_of(dialect, answer) == BAD_KEY[dialect]
    assert "rotated" in message_of(answer)
    assert call(http, dialect, fresh).status_code == 200


@BOTH
def test_a_suspended_allocation(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse()
    allocation_suspend(actor=house.actor, allocation=purse.allocation, reason="Under review")
    answer = call(http, dialect, purse.secret)
    assert error_of(dialect, answer)[:2] == (
        403,
        {"openai": "invalid_request_error", "anthropic": "permission_error"}[dialect],
    )
    assert message_of(answer) == f"Allocation {purse.allocation.number} is suspended."
    assert is_untouched(purse)


# --- Requests ------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON (line 1, column 2)"),
        (b'{"model": "tank-medium", "messages": [], "x": NaN}', "not valid JSON"),
        (b'{"model": "tank-medium", "messages": [{"content": "\xff"}]}', "not valid JSON"),
        (b'{"model": "tank-medium", "messages": [{"content": "\\ud800"}]}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'"hello"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"{}", "You must provide a `model`."),
        (b'{"model": 5}', "You must provide a `model`."),
        (b'{"model": "tank-medium"}', "`messages` must be a list"),
        (b'{"model": "tank-medium", "messages": []}', "`messages` must be a list"),
        (b'{"model": "tank-medium", "messages": {"a": 1}}', "`messages` must be a list"),
        (b'{"model": "tank-medium", "messages": [1], "stream": "yes"}', "`stream` must be true or false."),
        (b'{"model": "tank-medium", "messages": [1], "max_tokens": -5}', "`max_tokens` must be a whole number from 1"),
        (b'{"model": "tank-medium", "messages": [1], "max_tokens": 1e3}', "`max_tokens` must be a whole number from 1"),
        (b'{"model": "tank-medium", "messages": [1], "service_tier": "priority"}', "no price for this service tier"),
    ],
)
def test_a_body_that_cannot_be_understood(
    http: httpx.Client, house: House, dialect: str, body: bytes, said: str
) -> None:
    purse = house.purse()
    answer = call(http, dialect, purse.secret, body)
    assert error_of(dialect, answer) == BAD_REQUEST[dialect]
    assert said in message_of(answer)
    assert is_untouched(purse)


def test_a_bad_parameter_is_named_where_the_dialect_has_a_place_for_it(http: httpx.Client, house: House) -> None:
    answer = call(http, "openai", house.purse().secret, chat(n=0))
    assert answer.json()["error"]["param"] == "n"
    answer = call(http, "openai", house.purse().secret, chat(stream=True, stream_options="yes"))
    assert answer.json()["error"]["param"] == "stream_options"


@BOTH
@pytest.mark.parametrize(
    "odd",
    [
        {"messages": [None, 1, "x", [], {"content": 5}, {"content": [None, {"type": 7}, {"type": "image"}]}]},
        {"tools": [1, {"type": []}], "system": {}},
        {"n": None, "max_tokens": None, "stream": None, "stream_options": None},
        {"messages": [{"role": "user", "content": "\x00\u202e\ufffd" * 50}]},
    ],
)
def test_what_is_odd_but_json_is_the_providers_to_judge(
    http: httpx.Client, house: House, dialect: str, odd: dict[str, Any]
) -> None:
    purse = house.purse()
    answer = call(http, dialect, purse.secret, ASKS[dialect] | odd)
    assert answer.status_code in {200, 400}
    assert purse.quota().held == 0


@BOTH
def test_a_body_over_the_limit(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse()
    body = ASKS[dialect] | {"filler": "x" * (10 * 1024 * 1024)}
    answer = call(http, dialect, purse.secret, body)
    assert error_of(dialect, answer)[0] == 413
    assert message_of(answer) == "The request's body is larger than 10485760 bytes."
    assert is_untouched(purse)


@BOTH
def test_a_body_over_the_limit_that_does_not_say_its_length(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse()
    key = purse.bearer if dialect == "openai" else purse.x_api_key
    answer = http.post(PATHS[dialect], headers=key, content=(b"x" * 65536 for _ in range(200)))
    assert error_of(dialect, answer)[0] == 413
    assert is_untouched(purse)


@BOTH
def test_a_compressed_body(http: httpx.Client, house: House, dialect: str) -> None:
    headers = {"content-encoding": "gzip"}
    answer = call(http, dialect, house.purse().secret, b"\x1f\x8b", **headers)
    assert error_of(dialect, answer) == BAD_REQUEST[dialect]
    assert message_of(answer) == "Compressed request bodies are not supported."


@BOTH
@pytest.mark.parametrize("tags", ["novalue", "=x", "a b=c", "k=" + "v" * 121, "n" * 41 + "=v", ",".join(["a=b"] * 17)])
def test_tags_that_cannot_be_kept(http: httpx.Client, house: House, dialect: str, tags: str) -> None:
    purse = house.purse()
    answer = call(http, dialect, purse.secret, **{"x-tank-tags": tags})
    assert error_of(dialect, answer) == BAD_REQUEST[dialect]
    assert "x-tank-tags" in message_of(answer)
    assert is_untouched(purse)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
@BOTH
def test_another_method(http: httpx.Client, dialect: str, method: str) -> None:
    answer = http.request(method, PATHS[dialect])
    assert error_of(dialect, answer)[0] == 405
    assert answer.headers["allow"] == "POST"


def test_a_path_that_is_not_there(http: httpx.Client) -> None:
    assert error_of("openai", http.get("/v1/nothing")) == (404, "invalid_request_error", "unknown_url")
    anthropic = http.post("/v1/complete", headers={"anthropic-version": "2023-06-01"})
    assert error_of("anthropic", anthropic) == (404, "not_found_error")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/quota", "/v1/models/tank-medium"])
def test_lists_need_a_key_too(http: httpx.Client, path: str) -> None:
    assert error_of("openai", http.get(path)) == BAD_KEY["openai"]


# --- Models --------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("name", ["gpt-nothing", "x" * 5000, "tank-medium ", "../tank-medium", "tank/Auto"])
def test_an_unknown_model(http: httpx.Client, house: House, dialect: str, name: str) -> None:
    purse = house.purse()
    answer = call(http, dialect, purse.secret, ASKS[dialect] | {"model": name})
    assert error_of(dialect, answer) == NO_MODEL[dialect]
    assert f"The model `{name[:120]}` does not exist in Tank, or is not enabled." in message_of(answer)
    assert "tank-medium" in message_of(answer)
    assert is_untouched(purse)


@BOTH
def test_a_model_of_a_tier_that_the_allocation_has_no_line_for(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse()
    answer = call(http, dialect, purse.secret, ASKS[dialect] | {"model": "tank-large"})
    assert error_of(dialect, answer) == NO_MODEL[dialect]
    assert f"of the frontier tier, for which allocation {purse.allocation.number} has no line" in message_of(answer)


def test_a_model_of_the_other_dialect(http: httpx.Client, house: House) -> None:
    answer = call(http, "openai", house.purse().secret, chat("claude-sonnet-5-5"))
    assert error_of("openai", answer) == NO_MODEL["openai"]
    assert message_of(answer).startswith("The model `claude-sonnet-5-5` is called at /v1/messages.")
    answer = call(http, "anthropic", house.purse().secret, message("gpt-6-astra"))
    assert message_of(answer).startswith("The model `gpt-6-astra` is called at /v1/chat/completions.")


@BOTH
def test_a_model_without_a_rate_or_disabled(http: httpx.Client, house: House, dialect: str) -> None:
    box = Provider.objects.get(name="sandbox")
    AiModel.objects.create(provider=box, name=f"free-{dialect}", tier=Tier.STANDARD)
    AiModel.objects.create(provider=box, name=f"off-{dialect}", tier=Tier.STANDARD, is_enabled=False)
    free = call(http, dialect, house.purse().secret, ASKS[dialect] | {"model": f"free-{dialect}"})
    assert error_of(dialect, free) == NO_MODEL[dialect]
    assert message_of(free).startswith(f"The model `free-{dialect}` has no approved rate in force")
    off = call(http, dialect, house.purse().secret, ASKS[dialect] | {"model": f"off-{dialect}"})
    assert message_of(off).startswith(f"The model `off-{dialect}` does not exist in Tank, or is not enabled.")


def test_auto_without_any_model_to_choose(http: httpx.Client, house: House) -> None:
    purse = house.purse(lines={Tier.BATCH: "5"})
    answer = call(http, "openai", purse.secret, chat("tank/auto"))
    assert error_of("openai", answer) == NO_MODEL["openai"]


# --- Budgets -------------------------------------------------------------------------------------------------

BUDGET = {"openai": (429, "insufficient_quota", "insufficient_quota"), "anthropic": (402, "billing_error")}


@BOTH
def test_an_exhausted_line_says_how_it_stands_and_where_to_ask(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse("0.0001")
    answer = call(http, dialect, purse.secret, ASKS[dialect] | {"max_tokens": 1000})
    assert error_of(dialect, answer) == BUDGET[dialect]
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-tank-remaining"] == "0.0001"
    number, page = purse.allocation.number, f"https://tank.example/allocations/{purse.allocation.pk}/"
    told = message_of(answer)
    assert told.startswith("Budget exhausted: this call may cost up to $0.0032, and the standard line of allocation")
    assert f"{number} has $0.0001 of $0.0001 left ($0.00 spent, $0.00 held by calls in flight)" in told
    assert told.endswith(f"Ask for more at {page}")
    details = answer.json()["error"]["details"]
    assert Decimal(details.pop("needed")) > Decimal("0.003")
    assert details == {
        "budget": "line:standard",
        "allocation": number,
        "currency": "USD",
        "limit": "0.0001",
        "spent": "0",
        "held": "0",
        "remaining": "0.0001",
        "ask_at": page,
    }
    assert is_untouched(purse)


@BOTH
def test_an_exhausted_key_is_named(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse("50", cap="0.0001")
    answer = call(http, dialect, purse.secret, ASKS[dialect] | {"max_tokens": 1000})
    assert error_of(dialect, answer) == BUDGET[dialect]
    assert "the cap of key agent has $0.0001 of $0.0001 left" in message_of(answer)
    assert answer.json()["error"]["details"]["budget"] == "key:agent"
    assert is_untouched(purse)


def test_a_call_without_a_cap_is_refused_only_when_not_even_a_small_one_fits(http: httpx.Client, house: House) -> None:
    purse = house.purse("0.0001")
    answer = call(http, "openai", purse.secret)
    assert error_of("openai", answer) == BUDGET["openai"]
    needed = Decimal(answer.json()["error"]["details"]["needed"])
    assert Decimal("0.0001") < needed < Decimal("0.0004")


# --- Providers that cannot be used ---------------------------------------------------------------------------


@BOTH
def test_a_provider_that_is_not_there_costs_nothing(http: httpx.Client, house: House, dialect: str) -> None:
    name = f"gone-{dialect}-{random.token_hex(3)}"
    gone = provider_add(
        actor=house.actor, name=name, dialect=Dialect(dialect), base_url="http://127.0.0.1:9", api_key="k"
    )
    house.model(gone, f"model-{name}", Tier.STANDARD, "1")
    purse = house.purse()
    answer = call(http, dialect, purse.secret, ASKS[dialect] | {"model": f"model-{name}"})
    expected = {"openai": (502, "server_error", "upstream_error"), "anthropic": (502, "api_error")}
    assert error_of(dialect, answer) == expected[dialect]
    assert message_of(answer) == f"Provider {name} cannot be reached. Nothing was charged."
    assert is_untouched(purse)


def test_a_credential_of_another_encryption_key_is_not_sent(http: httpx.Client, house: House) -> None:
    name = f"sealed-{random.token_hex(3)}"
    sealed = provider_add(actor=house.actor, name=name, dialect=Dialect.OPENAI, base_url="http://127.0.0.1:9")
    Provider.objects.filter(pk=sealed.pk).update(credential_encrypted=b"gAAAA")
    house.model(sealed, f"model-{name}", Tier.STANDARD, "1")
    purse = house.purse()
    answer = call(http, "openai", purse.secret, chat(f"model-{name}"))
    assert (answer.status_code, message_of(answer)) == (502, f"The credential of provider {name} cannot be read.")
    assert is_untouched(purse)
