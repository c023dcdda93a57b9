"""No log line holds a prompt, an answer or a secret, whatever happens to a call, also at the most talkative level."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import orjson
import psycopg

from tests.allocations.gateways import (
    CREDENTIAL,
    House,
    Purse,
    Server,
    chat,
    embedding,
    message,
    production,
    recorded,
    response,
    sandbox,
)
from tests.allocations.test_gateway_database_away import away
from tests.allocations.wires import head_of, wire
from tests.conftest import FreshDatabase
from tests.processes import until

PROMPT = "the-canary-in-the-prompt"
FAULTS = ("", "400", "401", "429", "500", "cut", "error-event", "no-usage", "not-json", "overrun", "redirect")
PLAYS = ("quoting", "zstd", "silence", "error-with-usage", "no-done")
SURFACES: dict[str, Callable[..., dict[str, Any]]] = {
    "chat/completions": chat,
    "messages": message,
    "responses": response,
    "embeddings": embedding,
}
PROVIDERS = {"chat/completions": "gpt-6-astra", "messages": "claude-sonnet-5-5"}


@dataclass
class Caller:
    """Calls a gateway in every way, and remembers what it was answered."""

    server: Server
    purse: Purse
    answers: list[httpx.Response] = field(default_factory=list)

    def post(self, surface: str, body: object, **headers: str) -> httpx.Response:
        """Call a surface with an object, or with any bytes."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        given = self.purse.bearer | headers
        answer = httpx.post(f"{self.server.url}/v1/{surface}", headers=given, content=content, timeout=30)
        self.answers.append(answer)
        return answer

    def call_the_sandbox(self) -> None:
        """Call every surface, plain and streamed, with every fault."""
        for surface, make in SURFACES.items():
            for more in ({}, {"stream": True}):
                for fault in FAULTS:
                    self.post(surface, make(text=PROMPT, **more), **({"x-sandbox-fault": fault} if fault else {}))

    def call_providers(self) -> None:
        """Call providers that fail in ways of their own; one of them quotes what it was sent."""
        for surface, model in PROVIDERS.items():
            for play in PLAYS:
                self.post(surface, SURFACES[surface](model, PROMPT), **{"x-play": play})

    def say_nonsense(self) -> None:
        """Send what is no request, or not a whole one."""
        for body in (
            f'{{"messages": {PROMPT}'.encode(),
            f'["{PROMPT}"]'.encode(),
            chat(PROMPT),
            {"model": [PROMPT], "messages": PROMPT},
        ):
            self.post("chat/completions", body)
        self.post(f"{PROMPT}/{self.purse.secret}", {})
        for junk in (f"{PROMPT} {self.purse.secret}\r\n\r\n", f"POST /v1/ HTTP/1.1\r\n{PROMPT}\r\n\r\n"):
            with wire(self.server.url) as line:
                line.send(junk.encode())
                line.rest()
        with wire(self.server.url) as line:
            line.send(head_of("/v1/messages", self.purse.bearer | {"content-length": "1000"}) + PROMPT.encode())
            assert line.answer()[0] == 408


def test_no_log_line_holds_what_was_said_or_a_secret(fresh_database: FreshDatabase) -> None:
    with recorded(fresh_database) as upstream, sandbox(fresh_database) as box:
        house = House(upstream.url)
        purse, poor, spoilt = house.purse("50000"), house.purse("0.000001"), house.purse()
        refuse_records_of(fresh_database, spoilt)
        settings = {"LOG_LEVEL": "debug", "GATEWAY_REQUEST_SECONDS": "1", "GATEWAY_SILENCE_SECONDS": "1"}
        with production(fresh_database, box.url, **settings) as server:
            caller = Caller(server, purse)
            caller.call_the_sandbox()
            caller.call_providers()
            caller.say_nonsense()
            assert Caller(server, poor).post("messages", message(text=PROMPT)).status_code == 402
            assert Caller(server, spoilt).post("messages", message(text=PROMPT)).status_code == 500
            with away(fresh_database):
                until(lambda: caller.post("messages", message(text=PROMPT)).status_code == 503, what="the refusal")
            until(lambda: caller.post("messages", message(text=PROMPT)).status_code == 200, what="an answer")
    log = server.running.output
    for told in (
        "the gateway failed on request",
        "refused its credential",
        "Invalid HTTP request",
        "lost its database",
    ):
        assert told in log
    said = caller.answers[0].json()["choices"][0]["message"]["content"]
    for hidden in (PROMPT, said[:20], CREDENTIAL, *(one.secret[:12] for one in (purse, poor, spoilt))):
        assert hidden not in log


def refuse_records_of(database: FreshDatabase, purse: Purse) -> None:
    """Make the database refuse a key's usage records."""
    with psycopg.connect(database.url) as owner:
        rule = f"CHECK (key_id <> {purse.key.pk}) NOT VALID"
        owner.execute(f"ALTER TABLE ledger_usagerecord ADD CONSTRAINT nothing_of_{purse.key.pk} {rule}")
