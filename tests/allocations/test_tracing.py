"""Traces of calls, as a collector of OpenTelemetry receives them from a real gateway."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.allocations.gateways import CREDENTIAL, House, Server, chat, gateway, recorded, sandbox
from tests.conftest import FreshDatabase
from tests.processes import until
from tests.receivers import Receiver, receiver

collector = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="the extra `tracing` is not installed"
)
pytest.importorskip("opentelemetry.sdk.trace", reason="the extra `tracing` is not installed")

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def receiving() -> Iterator[Receiver]:
    with receiver() as ours:
        yield ours


@pytest.fixture
def upstream(fresh_database: FreshDatabase) -> Iterator[Server]:
    with recorded(fresh_database) as server:
        yield server


@pytest.fixture
def house(fresh_database: FreshDatabase, upstream: Server) -> House:
    return House(upstream.url)


@pytest.fixture
def server(fresh_database: FreshDatabase, house: House, receiving: Receiver) -> Iterator[Server]:
    wanted = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiving.url}
    with sandbox(fresh_database) as box, gateway(fresh_database, box.url, **wanted) as running:
        yield running


def spans_of(receiving: Receiver, trace: str = TRACE) -> list[Any]:
    """Return the spans of a trace, in the order in which they began."""
    requests = [collector.ExportTraceServiceRequest.FromString(received.body) for received in list(receiving.came)]
    resources = [resource for request in requests for resource in request.resource_spans]
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    return sorted((span for span in spans if span.trace_id.hex() == trace), key=lambda span: span.start_time_unix_nano)


def facts(span: Any) -> dict[str, Any]:
    """Return a span's attributes."""
    return {
        attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value")) for attribute in span.attributes
    }


def ended(server: Server) -> None:
    """Stop a gateway, which sends what it has not sent."""
    server.running.send(signal.SIGTERM)
    server.running.ended()


def test_a_call_is_a_span_with_its_admit_its_provider_and_its_settle(
    server: Server, house: House, receiving: Receiver
) -> None:
    purse = house.purse()
    headers = purse.bearer | {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    answer = httpx.post(
        f"{server.url}/v1/chat/completions",
        headers=headers,
        json=chat(text="The secret of the soup is nutmeg.", max_tokens=20),
    )
    ended(server)

    call, admit, upstream, settle = spans_of(receiving)
    assert [span.name for span in (call, admit, upstream, settle)] == [
        "POST chat/completions",
        "admit",
        "upstream",
        "settle",
    ]
    assert call.parent_span_id.hex() == CALLER
    assert {span.parent_span_id for span in (admit, upstream, settle)} == {call.span_id}
    assert admit.end_time_unix_nano <= upstream.start_time_unix_nano
    assert upstream.end_time_unix_nano <= settle.start_time_unix_nano
    assert settle.end_time_unix_nano <= call.end_time_unix_nano
    assert facts(call) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "tank.request_id": answer.headers["x-request-id"],
        "gen_ai.request.model": "tank-medium",
    }
    assert facts(admit) == {"tank.request_id": answer.headers["x-request-id"]}
    assert facts(upstream) == {"tank.provider": "sandbox", "http.response.status_code": 200}
    assert [event.name for event in upstream.events] == ["first byte"]
    record = purse.record
    assert facts(settle) == {
        "tank.settle_kind": "exact",
        "gen_ai.usage.input_tokens": record.input_tokens,
        "gen_ai.usage.output_tokens": record.output_tokens,
    }
    everything = b"".join(received.body for received in receiving.came)
    told = answer.json()["choices"][0]["message"]["content"].encode()
    for hidden in (b"soup", b"nutmeg", told[:20], purse.secret.encode()[:12], CREDENTIAL.encode()):
        assert hidden not in everything


def test_what_went_wrong_is_in_the_trace(server: Server, house: House, receiving: Receiver) -> None:
    purse, poor = house.purse(), house.purse("0.000001")
    traces = [f"{number:032x}" for number in (1, 2, 3)]
    headers = [{"traceparent": f"00-{trace}-{CALLER}-01"} for trace in traces]
    url = f"{server.url}/v1/chat/completions"
    assert httpx.post(url, headers=poor.bearer | headers[0], json=chat()).status_code == 429
    play = {"x-play": "openai_chat_stream_include_usage.sse"}
    streamed = httpx.post(
        url, headers=purse.bearer | headers[1] | play, json=chat("gpt-6-astra", stream=True, max_tokens=900)
    )
    assert streamed.status_code == 200
    broken = httpx.post(url, headers=purse.bearer | headers[2] | {"x-play": "redirect"}, json=chat("gpt-6-astra"))
    assert broken.status_code == 502
    ended(server)

    refused, stopped = spans_of(receiving, traces[0])
    assert (facts(refused)["http.response.status_code"], facts(stopped)) == (429, {"tank.stop": "money"})
    assert [span.name for span in spans_of(receiving, traces[1])][1:] == ["admit", "upstream", "settle"]
    failed, _, upstream, void = spans_of(receiving, traces[2])
    error = failed.status.STATUS_CODE_ERROR
    assert (failed.status.code, facts(failed)["http.response.status_code"]) == (error, 502)
    assert facts(upstream) == {"tank.provider": "opal", "http.response.status_code": 302}
    assert facts(void) == {"tank.settle_kind": "void"}
    assert CREDENTIAL.encode() not in b"".join(received.body for received in receiving.came)


def test_a_collector_that_is_away_stops_nothing(
    fresh_database: FreshDatabase, house: House, receiving: Receiver
) -> None:
    receiving.answer(503)
    wanted = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiving.url}
    purse = house.purse()
    with sandbox(fresh_database) as box, gateway(fresh_database, box.url, **wanted) as server:
        for _ in range(3):
            assert httpx.get(f"{server.url}/v1/quota", headers=purse.bearer).status_code == 200
        ended(server)
    assert receiving.came


def test_without_the_packages_there_are_no_traces_and_one_line_says_so(
    fresh_database: FreshDatabase, tmp_path: Path, house: House
) -> None:
    (tmp_path / "opentelemetry.py").write_text("raise ImportError('not installed')")
    wanted = {"OTEL_TRACES_EXPORTER": "otlp", "PYTHONPATH": str(tmp_path)}
    with gateway(fresh_database, **wanted) as server:
        until(lambda: "OTEL_TRACES_EXPORTER=otlp needs the packages" in server.running.output, what="the line")
        assert httpx.get(f"{server.url}/v1/quota", headers=house.purse().bearer).status_code == 200
