"""Which model answers a call and at which price: steps, backups, aliases, the models of a key, the batch lane."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx2 as httpx
import orjson
import pytest

from allocations.metering.types import Tokens
from allocations.models import QuotaKey, StopBehaviour
from allocations.services import key_models_set
from ledger.models import AiModel, Dialect, Provider, Rate, RateSource, Tier
from ledger.price_list import PriceStep
from ledger.rating import cost
from ledger.services import (
    ModelFacts,
    alias_remove,
    alias_set,
    model_update,
    provider_add,
    rate_approve,
    rate_propose,
)
from tests.allocations.gateways import NOWHERE, House, Purse, Server, chat, gateway, message, seen
from tests.allocations.recorded import SAMPLES
from tests.conftest import FreshDatabase
from tests.processes import until

pytestmark = pytest.mark.usefixtures("module_database")

GOOD, STREAM = "openai_chat_completion.json", "openai_chat_stream_include_usage.sse"
BUSY = "errors/openai_429_rate_limit.json"


def ask(http: httpx.Client, purse: Purse, model: str, *, to: str = "chat/completions", **more: Any) -> httpx.Response:
    headers = {name.replace("_", "-"): more.pop(name) for name in [*more] if name.startswith("x_")}
    body = (message if to == "messages" else chat)(model, **{"max_tokens": 900} | more)
    return http.post(f"/v1/{to}", headers=purse.bearer | headers, json=body)


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    return error


# --- Price steps ---------------------------------------------------------------------------------------------


def stepped(house: House, name: str, provider: Provider, above: int) -> tuple[AiModel, list[Rate]]:
    """Add a model whose long calls cost ten times as much."""
    model = house.model(provider, name, Tier.STANDARD, "1")
    rate = rate_propose(
        actor=house.actor,
        model=model,
        source=RateSource.NEGOTIATED,
        input_price=Decimal(1),
        output_price=Decimal(3),
        further_steps=[PriceStep(above, Decimal(10), Decimal(10), Decimal(10), Decimal(10), Decimal(30))],
    )
    rate_approve(actor=house.actor, rate=rate)
    return model, rate.steps


def test_a_call_is_charged_at_the_step_that_its_input_reached(
    http: httpx.Client, house: House, upstream: Server
) -> None:
    # The recorded answer used 2358 tokens of input, most of them cached, and 612 of output.
    for above, place in ((2357, 1), (2358, 0)):
        purse = house.purse("50")
        model, steps = stepped(house, f"stepped-{above}", _provider(house, f"steps-{above}", upstream.url), above)
        answer = ask(http, purse, model.name, x_play=GOOD)
        record = purse.record
        used = Tokens(record.input_tokens, record.cache_read_tokens, record.cache_write_5m_tokens, 0, 612)
        assert (answer.status_code, record.rate, record.model) == (200, steps[place], model)
        assert record.cost == cost(steps[place], used) == Decimal(answer.headers["x-tank-cost"])
        assert purse.quota().spent == record.cost


def test_the_hold_covers_the_dearest_step_that_the_call_may_reach(http: httpx.Client, house: House) -> None:
    model, (short, long) = stepped(house, "stepped-box", house.provider("sandbox"), 1000)
    poor = house.purse("0.003")
    assert ask(http, poor, model.name, max_tokens=16).status_code == 200
    refused = ask(http, poor, model.name, max_tokens=16, text="a" * 1000)
    needed = Decimal(error_of(refused)["details"]["needed"])
    assert refused.status_code == 429
    assert needed > cost(long, Tokens(input=1000, output=16)) > cost(short, Tokens(input=1000, output=16))

    rich = house.purse("5")
    assert ask(http, rich, model.name, max_tokens=16, text="a" * 1000).status_code == 200
    assert (rich.record.rate, rich.record.overage) == (short, 0)
    assert ask(http, rich, model.name, max_tokens=16, text="a" * 9000).status_code == 200
    assert (rich.records[1].rate, rich.records[1].overage) == (long, 0)


# --- Backups -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twins(house: House, upstream: Server) -> tuple[AiModel, AiModel]:
    """A model with a dearer backup at another provider, which knows it by another name."""
    main = house.model(_provider(house, "first", f"{upstream.url}/as/first/v1"), "twin", Tier.STANDARD, "1")
    return main, _backup(house, main, "twin-b", f"{upstream.url}/as/second/v1")


def _provider(house: House, name: str, base_url: str) -> Any:
    return provider_add(
        actor=house.actor, name=name, dialect=Dialect.OPENAI, base_url=base_url, api_key=f"credential-of-{name}"
    )


def _backup(house: House, main: AiModel, name: str, base_url: str, *, price: str = "2", place: int = 1) -> AiModel:
    model = house.model(_provider(house, f"at-{name}", base_url), name, Tier(main.tier), price)
    facts = ModelFacts(
        Tier(main.tier),
        200_000,
        4096,
        16,
        is_enabled=True,
        upstream_name=f"{name}-2026",
        backup_of=main,
        backup_place=place,
    )
    return model_update(actor=house.actor, model=model, facts=facts)


@pytest.mark.parametrize("play", [BUSY, "500", "502", "503", "529"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_backup_answers_when_the_model_is_turned_away(
    http: httpx.Client, house: House, upstream: Server, twins: tuple[AiModel, AiModel], play: str, is_stream: bool
) -> None:
    purse, (main, backup) = house.purse("50"), twins
    seen(upstream)
    sample = STREAM if is_stream else GOOD
    more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if is_stream else {}
    answer = ask(http, purse, main.name, x_play_first=play, x_play=sample, **more)

    assert (answer.status_code, answer.content) == (200, (SAMPLES / sample).read_bytes())
    said = [answer.headers[f"x-tank-{name}"] for name in ("model", "backup", "backup-reason", "because")]
    assert said == ["twin-b", "twin-b", "429" if play == BUSY else play, "backup"]
    record = purse.record
    assert (record.model, record.provider, record.rate.model) == (backup, backup.provider, backup)
    assert (record.model_asked, record.served_because) == ("twin", "backup")
    assert (purse.quota().spent, purse.quota().held) == (record.cost, 0)
    one, two = seen(upstream)
    assert [orjson.loads(request["body"])["model"] for request in (one, two)] == ["twin", "twin-b-2026"]
    assert one["headers"]["authorization"] == "Bearer credential-of-first"
    assert two["headers"]["authorization"] == "Bearer credential-of-at-twin-b"
    assert "credential-of-first" not in str(two)


def test_a_model_that_answers_needs_no_backup(
    http: httpx.Client, house: House, upstream: Server, twins: tuple[AiModel, AiModel]
) -> None:
    purse, (main, _) = house.purse("50"), twins
    seen(upstream)
    answer = ask(http, purse, main.name, x_play=GOOD)
    assert answer.headers["x-tank-model"] == purse.record.model.name == "twin"
    assert (purse.record.served_because, len(seen(upstream))) == ("", 1)
    assert not [name for name in answer.headers if name.startswith(("x-tank-backup", "x-tank-because"))]


@pytest.mark.parametrize("play", ["400", "403", "404", "error-with-usage"])
def test_what_is_the_callers_fault_or_was_charged_goes_to_no_backup(
    http: httpx.Client, house: House, upstream: Server, twins: tuple[AiModel, AiModel], play: str
) -> None:
    purse, (main, _) = house.purse("50"), twins
    seen(upstream)
    answer = ask(http, purse, main.name, x_play_first=play, x_play=GOOD)
    assert answer.status_code == (500 if play == "error-with-usage" else int(play))
    assert len(seen(upstream)) == 1
    assert [record.input_tokens for record in purse.records] == ([7] if play == "error-with-usage" else [])
    assert purse.quota().held == 0


@pytest.mark.parametrize("second", [BUSY, "500", "400", "401", "redirect"])
def test_when_all_fail_the_client_hears_the_first_one(
    http: httpx.Client, house: House, twins: tuple[AiModel, AiModel], second: str
) -> None:
    purse, (main, _) = house.purse("50"), twins
    answer = ask(http, purse, main.name, x_play_first="503", x_play_second="302" if second == "redirect" else second)
    assert (answer.status_code, error_of(answer)["message"]) == (503, "played 503")
    assert answer.headers["x-tank-model"] == "twin"
    assert (answer.headers["x-tank-cost"], answer.headers["x-tank-remaining"]) == ("0", "50")
    assert "x-tank-backup" not in answer.headers
    assert (purse.records, purse.quota().held, purse.quota().spent) == ([], 0, 0)


def test_backups_are_tried_in_their_order_when_a_provider_cannot_be_reached(
    http: httpx.Client, house: House, upstream: Server
) -> None:
    main = house.model(_provider(house, "gone", f"{NOWHERE}/v1"), "lonely", Tier.STANDARD, "1")
    purse = house.purse("50")
    failed = ask(http, purse, main.name, x_play=GOOD)
    assert (failed.status_code, error_of(failed)["code"]) == (502, "upstream_error")
    for name, place in (("lonely-third", 3), ("lonely-second", 2)):
        _backup(house, main, name, f"{upstream.url}/as/{name}/v1", place=place)
    first_gone = {"x_play_lonely_second": "500", "x_play_lonely_third": GOOD}
    seen(upstream)
    until(lambda: ask(http, purse, main.name, **first_gone).status_code == 200, what="the backups")
    answer = ask(http, purse, main.name, **first_gone)
    said = (answer.headers["x-tank-model"], answer.headers["x-tank-backup-reason"])
    assert said == ("lonely-third", "unreachable")
    paths = [request["path"] for request in seen(upstream)][-2:]
    assert paths == [f"/as/{name}/v1/chat/completions" for name in ("lonely-second", "lonely-third")]


def test_the_sandbox_may_stand_in_in_both_dialects(http: httpx.Client, house: House) -> None:
    provider = provider_add(
        actor=house.actor, name="gone-too", dialect=Dialect.ANTHROPIC, base_url=NOWHERE, api_key="k"
    )
    main = house.model(provider, "claude-gone", Tier.STANDARD, "1")
    box = house.model(house.provider("sandbox"), "claude-box", Tier.STANDARD, "1")
    model_update(actor=house.actor, model=box, facts=ModelFacts(Tier.STANDARD, 200_000, 4096, 16, True, backup_of=main))
    purse = house.purse("50")
    until(lambda: ask(http, purse, main.name, to="messages").status_code == 200, what="the backup")
    assert ask(http, purse, main.name, to="messages").headers["x-tank-model"] == "claude-box"


def test_the_hold_covers_the_dearest_of_the_candidates(
    http: httpx.Client, house: House, twins: tuple[AiModel, AiModel]
) -> None:
    main, backup = twins
    output = Tokens(output=900)
    purse = house.purse(str(cost(house.rate(backup.name), output)))
    refused = ask(http, purse, main.name, x_play=GOOD)
    assert refused.status_code == 429
    assert Decimal(error_of(refused)["details"]["needed"]) > 2 * cost(house.rate(main.name), output)
    # Without a cap in the request, the one inserted fits what is left whoever answers.
    short = ask(http, purse, main.name, max_tokens=None, x_play_first="500", x_play=GOOD)
    assert short.headers["x-tank-model"] == "twin-b"
    assert int(short.headers["x-tank-output-cap"]) < 900


def test_a_backup_is_not_listed_nor_chosen_and_can_be_called_by_its_name(
    http: httpx.Client, house: House, twins: tuple[AiModel, AiModel]
) -> None:
    main, backup = twins
    dear = _backup(house, main, "twin-dear", f"{NOWHERE}/v1", price="1000", place=9)
    purse = house.purse("50")
    until(lambda: http.get(f"/v1/models/{dear.name}", headers=purse.bearer).status_code == 200, what="the backup")
    listed = {model["id"] for model in http.get("/v1/models", headers=purse.bearer).json()["data"]}
    assert main.name in listed
    assert not {backup.name, dear.name} & listed
    assert ask(http, purse, "tank/auto", max_tokens=16, x_play=GOOD).headers["x-tank-model"] != dear.name
    assert ask(http, purse, backup.name, x_play=GOOD).headers["x-tank-model"] == backup.name
    model_update(
        actor=house.actor, model=dear, facts=ModelFacts(Tier.STANDARD, 200_000, 4096, 16, False, backup_of=main)
    )


@pytest.fixture(scope="module")
def impatient(module_database: FreshDatabase, upstream: Server, house: House) -> Iterator[httpx.Client]:
    with (
        gateway(module_database, NOWHERE, GATEWAY_SILENCE_SECONDS="1") as server,
        httpx.Client(base_url=server.url) as http,
    ):
        yield http


def test_a_model_that_may_have_worked_is_charged_and_goes_to_no_backup(
    impatient: httpx.Client, house: House, upstream: Server, twins: tuple[AiModel, AiModel]
) -> None:
    purse, (main, _) = house.purse("50"), twins
    seen(upstream)
    answer = ask(impatient, purse, main.name, x_play_first="silence", x_play=GOOD)
    assert (answer.status_code, error_of(answer)["code"]) == (504, "upstream_timeout")
    assert (purse.record.model, purse.record.settle_kind, len(seen(upstream))) == (main, "estimated", 1)
    assert purse.quota().held == 0


def test_a_backup_that_may_have_worked_is_charged_and_says_so(
    impatient: httpx.Client, house: House, twins: tuple[AiModel, AiModel]
) -> None:
    purse, (main, backup) = house.purse("50"), twins
    answer = ask(impatient, purse, main.name, x_play_first="500", x_play="silence")
    assert answer.status_code == 504
    record = purse.record
    assert (record.model, record.rate.model, record.served_because) == (backup, backup, "backup")
    assert Decimal(answer.headers["x-tank-cost"]) == record.cost > 0


# --- Aliases -------------------------------------------------------------------------------------------------


def test_an_alias_is_resolved_listed_and_said(http: httpx.Client, house: House) -> None:
    model = AiModel.objects.get(name="tank-medium")
    alias = alias_set(actor=house.actor, name="fast", model=model)
    purse = house.purse("50")
    until(lambda: ask(http, purse, "fast").status_code == 200, what="the alias")
    answer, record = ask(http, purse, "fast"), purse.records[0]
    assert (answer.headers["x-tank-model"], answer.headers["x-tank-because"]) == ("tank-medium", "alias")
    assert (record.model_asked, record.model, record.served_because) == ("fast", model, "alias")
    listed = [model["id"] for model in http.get("/v1/models", headers=purse.bearer).json()["data"]]
    assert "fast" in listed
    assert listed == sorted(listed)
    assert http.get("/v1/models/fast", headers=purse.bearer).json()["id"] == "fast"
    # It can be pointed elsewhere, and only to what the key may call.
    alias_set(actor=house.actor, name="fast", model=AiModel.objects.get(name="tank-large"))
    until(lambda: ask(http, purse, "fast").status_code == 404, what="the change")
    assert "of the frontier tier" in error_of(ask(http, purse, "fast"))["message"]
    assert "fast" not in [model["id"] for model in http.get("/v1/models", headers=purse.bearer).json()["data"]]
    alias_remove(actor=house.actor, alias=alias)
    until(lambda: "does not exist" in error_of(ask(http, purse, "fast"))["message"], what="the end of the alias")


def test_an_alias_falls_as_its_model_does(http: httpx.Client, house: House) -> None:
    alias_set(actor=house.actor, name="best", model=AiModel.objects.get(name="tank-large"))
    purse = house.purse(lines={Tier.FRONTIER: "0.000001", Tier.ECONOMY: "5"}, stop=StopBehaviour.FALL)
    until(lambda: ask(http, purse, "best").status_code == 200, what="the alias")
    answer = ask(http, purse, "best")
    assert (answer.headers["x-tank-model"], answer.headers["x-tank-because"]) == ("tank-small", "fell")
    assert (purse.records[0].model_asked, purse.records[0].served_because) == ("best", "fell")


def test_auto_says_that_it_chose(http: httpx.Client, house: House) -> None:
    purse = house.purse(lines={Tier.ECONOMY: "5"})
    answer = ask(http, purse, "tank/auto")
    assert answer.headers["x-tank-because"] == purse.record.served_because == "auto"


# --- What a key may call -------------------------------------------------------------------------------------


def limited(house: House, *names: str, lines: dict[Tier, str] | None = None, **more: Any) -> Purse:
    purse = house.purse(lines=lines or dict.fromkeys((Tier.FRONTIER, Tier.STANDARD, Tier.ECONOMY), "5"), **more)
    limit(house, purse.key, *names)
    return purse


def limit(house: House, key: QuotaKey, *names: str) -> None:
    models = list(AiModel.objects.filter(name__in=names))
    assert len(models) == len(names)
    key_models_set(actor=house.actor, key=key, models=models, reason="Only these")


@pytest.mark.parametrize("to", ["chat/completions", "messages"])
def test_a_model_that_the_key_may_not_call_is_not_found(http: httpx.Client, house: House, to: str) -> None:
    purse = limited(house, "tank-small", "tank-medium")
    refused = ask(http, purse, "tank-large", to=to)
    message = error_of(refused)["message"]
    assert refused.status_code == 404
    assert error_of(refused).get("code", error_of(refused)["type"]) in {"model_not_found", "not_found_error"}
    assert message == ("This key may not call the model `tank-large`. This key may use here: tank-medium, tank-small.")
    assert ask(http, purse, "tank-small", to=to).status_code == 200
    listed = http.get("/v1/models", headers=purse.bearer).json()["data"]
    assert [model["id"] for model in listed] == ["tank-medium", "tank-small"]
    assert http.get("/v1/models/tank-large", headers=purse.bearer).status_code == 404


def test_a_change_of_what_a_key_may_call_reaches_the_gateway(http: httpx.Client, house: House) -> None:
    purse = limited(house, "tank-small")
    assert ask(http, purse, "tank-small").status_code == 200
    limit(house, purse.key, "tank-large")
    until(lambda: ask(http, purse, "tank-small").status_code == 404, within=1, what="the change")
    assert ask(http, purse, "tank-large").status_code == 200
    limit(house, purse.key)
    until(lambda: ask(http, purse, "tank-small").status_code == 200, within=1, what="the change")


def test_auto_and_falling_stay_among_the_keys_models(http: httpx.Client, house: House) -> None:
    purse = limited(house, "tank-medium", "tank-small")
    assert ask(http, purse, "tank/auto").headers["x-tank-model"] == "tank-medium"
    lines = {Tier.FRONTIER: "0.000001", Tier.STANDARD: "5", Tier.ECONOMY: "5"}
    falls = limited(house, "tank-large", "tank-small", lines=lines, stop=StopBehaviour.FALL)
    assert ask(http, falls, "tank-large").headers["x-tank-model"] == "tank-small"
    stays = limited(house, "tank-large", lines=lines, stop=StopBehaviour.FALL)
    assert ask(http, stays, "tank-large").status_code == 429


def test_a_backup_answers_only_keys_that_may_call_it(
    http: httpx.Client, house: House, twins: tuple[AiModel, AiModel]
) -> None:
    main, backup = twins
    for names, status in (((main.name,), 500), ((main.name, backup.name), 200)):
        answer = ask(http, limited(house, *names), main.name, x_play_first="500", x_play=GOOD)
        assert answer.status_code == status


# --- The batch lane ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def night(house: House) -> AiModel:
    return house.model(house.provider("sandbox"), "tank-night", Tier.BATCH, "0.05")


def test_a_batch_model_is_called_by_its_name_and_paid_by_the_batch_line(
    http: httpx.Client, house: House, night: AiModel
) -> None:
    purse = house.purse(lines={Tier.STANDARD: "5", Tier.BATCH: "5"})
    until(lambda: ask(http, purse, night.name).status_code == 200, what="the model")
    assert (purse.quota(Tier.BATCH).spent, purse.quota().spent) == (purse.record.cost, 0)
    assert night.name in [model["id"] for model in http.get("/v1/models", headers=purse.bearer).json()["data"]]


def test_no_call_falls_into_the_batch_lane_and_none_falls_out_of_it(
    http: httpx.Client, house: House, night: AiModel
) -> None:
    falls = house.purse(lines={Tier.STANDARD: "0.000001", Tier.BATCH: "5"}, stop=StopBehaviour.FALL)
    assert error_of(ask(http, falls, "tank-medium"))["details"]["budget"] == "line:standard"
    spent = house.purse(lines={Tier.STANDARD: "5", Tier.BATCH: "0.000001"}, stop=StopBehaviour.FALL)
    assert error_of(ask(http, spent, night.name))["details"]["budget"] == "line:batch"


def test_auto_never_chooses_the_batch_lane(http: httpx.Client, house: House, night: AiModel) -> None:
    only = house.purse(lines={Tier.BATCH: "5"})
    refused = ask(http, only, "tank/auto")
    assert (refused.status_code, error_of(refused)["code"]) == (404, "model_not_found")
    poor = house.purse(lines={Tier.ECONOMY: "0.000001", Tier.BATCH: "5"})
    assert error_of(ask(http, poor, "tank/auto"))["details"]["budget"] == "line:economy"
