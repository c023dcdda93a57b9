"""What a gateway counts for Prometheus, read from real processes on their internal port."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx2 as httpx
import pytest

from ledger.models import Dialect, Tier
from ledger.services import provider_add
from tests.allocations.gateways import NOWHERE, House, Purse, Server, chat, embedding, gateway, message, sandbox
from tests.allocations.scraping import MetricsPort
from tests.allocations.test_gateway_database_away import away
from tests.conftest import FreshDatabase
from tests.processes import MANAGE, ROOT, answers, free_port, start_process, until


@pytest.fixture
def port(fresh_database: FreshDatabase) -> MetricsPort:
    return MetricsPort.free()


@pytest.fixture
def house(fresh_database: FreshDatabase) -> House:
    return House()


@pytest.fixture
def server(fresh_database: FreshDatabase, house: House, port: MetricsPort) -> Iterator[Server]:
    patience = {"GATEWAY_SILENCE_SECONDS": "1"}
    with sandbox(fresh_database) as box, gateway(fresh_database, box.url, **port.setting, **patience) as running:
        yield running


def call(server: Server, purse: Purse, fault: str = "", **more: Any) -> httpx.Response:
    headers = purse.bearer | ({"x-sandbox-fault": fault} if fault else {})
    return httpx.post(f"{server.url}/v1/chat/completions", headers=headers, json=chat(max_tokens=20, **more))


def test_calls_are_counted_once_on_their_way(server: Server, house: House, port: MetricsPort) -> None:
    purse, poor = house.purse(), house.purse("0.000001")
    for is_stream in (False, False, True):
        assert call(server, purse, stream=is_stream).status_code == 200
    assert call(server, purse, "no-usage").status_code == 200
    assert call(server, purse, "500").status_code == 500
    assert call(server, poor).status_code == 429
    assert httpx.post(f"{server.url}/v1/messages", headers=purse.x_api_key, json=message("nobody")).status_code == 404
    assert httpx.get(f"{server.url}/v1/quota", headers=purse.bearer).status_code == 200
    assert httpx.get(f"{server.url}/v1/{'x' * 50}").status_code == 404

    scrape = port.scrape()
    assert scrape.value("tank_admits_total") == 5
    assert scrape.each("tank_stops_total", "stop") == {"money": 1}
    assert scrape.each("tank_denials_total", "reason") == {"line_empty": 1, "no_line": 1}
    assert scrape.each("tank_settles_total", "kind") == {"exact": 3, "bound": 1, "void": 1}
    assert {(labels["surface"], labels["status"]): value for labels, value in scrape.samples("tank_answers_total")} == {
        ("models", "401"): 1,  # the question whether the gateway is there
        ("chat/completions", "200"): 4,
        ("chat/completions", "500"): 1,
        ("chat/completions", "429"): 1,
        ("messages", "404"): 1,
        ("quota", "200"): 1,
        ("other", "404"): 1,
    }
    assert [scrape.value(f"tank_{name}_seconds_count") for name in ("hold", "settle")] == [6, 5]
    assert scrape.value("tank_hold_seconds_bucket", le="+Inf") == 6
    assert 0 < scrape.value("tank_hold_seconds_sum") < 60
    assert [scrape.value(f"tank_batch_{what}_sum") for what in ("admits", "settles")] == [6, 5]
    assert scrape.value("tank_commit_seconds_count") == 11
    assert scrape.value("tank_calls_in_flight") == 0


def test_calls_in_flight_show_while_they_run(server: Server, house: House, port: MetricsPort) -> None:
    purse = house.purse()
    with ThreadPoolExecutor() as threads:
        headers = purse.bearer | {"x-sandbox-delay-ms": "600"}
        asked = [
            threads.submit(httpx.post, f"{server.url}/v1/embeddings", headers=headers, json=embedding())
            for _ in range(3)
        ]
        until(lambda: port.scrape().value("tank_calls_in_flight") == 3, what="the three calls")
        assert [one.result().status_code for one in asked] == [200] * 3
    assert port.scrape().value("tank_calls_in_flight") == 0


def test_providers_are_told_apart(server: Server, house: House, port: MetricsPort) -> None:
    purse = house.purse()
    deaf = provider_add(actor=house.actor, name="deaf", dialect=Dialect.OPENAI, base_url=NOWHERE, api_key="k")
    house.model(deaf, "deaf-model", Tier.STANDARD, "1")
    for fault in ("", "429", "529"):
        call(server, purse, fault)
    for fault in ("cut", "error-event"):
        call(server, purse, fault, stream=True)
    call(server, purse, "cut")
    assert (
        httpx.post(f"{server.url}/v1/chat/completions", headers=purse.bearer, json=chat("deaf-model")).status_code
        == 502
    )
    slow = purse.bearer | {"x-sandbox-delay-ms": "2000"}
    assert httpx.post(f"{server.url}/v1/chat/completions", headers=slow, json=chat()).status_code == 504

    scrape = port.scrape()
    told = [
        {(labels["provider"], labels[label]): value for labels, value in scrape.samples(name)}
        for name, label in (("tank_upstream_answers_total", "status"), ("tank_upstream_errors_total", "kind"))
    ]
    assert told[0] == {("sandbox", "200"): 4, ("sandbox", "429"): 1, ("sandbox", "529"): 1}
    assert told[1] == {
        ("sandbox", "cut"): 2,
        ("sandbox", "error_event"): 1,
        ("sandbox", "silent"): 1,
        ("deaf", "unreachable"): 1,
    }
    assert scrape.value("tank_upstream_first_byte_seconds_count", provider="sandbox") == 6


def test_a_database_that_is_away_shows_and_so_does_what_waits_for_it(
    fresh_database: FreshDatabase, server: Server, house: House, port: MetricsPort
) -> None:
    purse = house.purse()
    with ThreadPoolExecutor() as threads:
        headers = purse.bearer | {"x-sandbox-delay-ms": "500"}
        ask = threads.submit(
            httpx.post, f"{server.url}/v1/chat/completions", headers=headers, json=chat(max_tokens=20), timeout=30
        )
        until(lambda: purse.quota().held > 0, what="the hold")
        with away(fresh_database):
            until(lambda: port.scrape().value("tank_database_up") == 0, what="the loss")
            assert call(server, purse).status_code == 503
            assert ask.result().status_code == 200
            scrape = port.scrape()
            assert (scrape.value("tank_spool_settles"), scrape.value("tank_spooled_settles_total")) == (1, 1)
            assert scrape.value("tank_commit_failures_total", kind="lost") == 1
    until(lambda: port.scrape().value("tank_spool_settles") == 0, what="the replay")
    scrape = port.scrape()
    assert scrape.value("tank_database_up") == 1
    assert scrape.value("tank_commit_age_seconds") < 5
    assert purse.quota().held == Decimal(0)


def test_metrics_are_on_their_own_port_alone(server: Server, port: MetricsPort) -> None:
    assert httpx.get(f"{server.url}/metrics").status_code == 404
    other_side = port.url.removesuffix("/metrics")
    assert [httpx.get(f"{other_side}{path}").status_code for path in ("/", "/v1/models")] == [404, 404]
    assert httpx.post(port.url).status_code == 405
    openmetrics = httpx.get(port.url, headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


def test_every_metric_is_documented_with_the_words_that_it_says_itself(
    server: Server, house: House, port: MetricsPort
) -> None:
    call(server, house.purse())
    told = port.scrape().families
    ours = {name: text for name, text in told.items() if name.startswith("tank_")}
    documented = re.findall(r"^\| `(tank_\w+?)(?:_total)?`", (ROOT / "docs" / "gateway.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(ours)
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds"} <= set(told)


def test_a_port_that_is_taken_stops_the_start_with_a_sentence(
    fresh_database: FreshDatabase, server: Server, port: MetricsPort
) -> None:
    other = [*MANAGE, "gateway", "--port", str(free_port())]
    with start_process(other, fresh_database.env | port.setting, ready=lambda running: not running.is_alive) as running:
        assert running.ended() == 3
    sentence = "Tank cannot start: metrics cannot be served: error while attempting to bind on address "
    assert f"{sentence}('127.0.0.1', {port.number}): address already in use." in running.output
    assert "Traceback" not in running.output


def test_each_process_of_a_gateway_has_the_next_port(fresh_database: FreshDatabase) -> None:
    number, port = free_port(), MetricsPort.free()
    several = [*MANAGE, "gateway", "--port", str(number), "--processes", "2"]
    ports = [port, MetricsPort(port.number + 1)]
    with start_process(several, fresh_database.env | port.setting, ready=lambda _: all(answers(p.url) for p in ports)):
        assert answers(f"http://127.0.0.1:{number}/v1/models", status=401)
        told = [port.scrape().each("tank_answers_total", "surface") for port in ports]
    assert sorted(told, key=len) == [{}, {"models": 1}]
