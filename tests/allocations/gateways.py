"""Real gateways for the tests: uvicorn processes in front of the sandbox and of recorded answers.

The house has models of every tier behind three providers, and hands out funded keys.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx2 as httpx

from allocations.models import Allocation, Quota, QuotaKey, StopBehaviour
from allocations.services import KeyLimits, allocation_create, key_issue
from allocations.services.keys import NO_LIMITS
from ledger.models import AiModel, Dialect, EntryKind, Provider, Rate, Tier, UsageRecord
from ledger.money import usd
from ledger.selectors import reserve_account, today
from ledger.services import model_add, provider_add, year_fund
from marketplace.runtime.serving import KEEP_ALIVE_SECONDS
from teams.models import Team
from teams.selectors import system_user
from teams.services import team_create
from tests.conftest import FreshDatabase
from tests.processes import MANAGE, Running, answers, free_port, start_process

GATEWAY, SANDBOX = "allocations.gateway.app:application", "allocations.sandbox.app:application"
RECORDED = "tests.allocations.recorded:application"
PAGES = "https://tank.example"
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens
CREDENTIAL = "sk-the-providers-own"


@dataclass(frozen=True)
class Server:
    """A server process and its address."""

    running: Running
    url: str


@contextmanager
def serve(application: str, env: Mapping[str, str], *options: str, ready: str, status: int = 200) -> Iterator[Server]:
    """Run an ASGI application under uvicorn until the block ends."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--log-level", "warning", *options]
    with start_process(command, env, ready=lambda _: answers(f"{url}{ready}", status)) as running:
        yield Server(running, url)


@contextmanager
def sandbox(database: FreshDatabase, *, delay_ms: int = 0) -> Iterator[Server]:
    """Run the sandbox provider, which keeps idle connections for as long as it does in `manage.py up`."""
    env = database.env | {"TANK_SANDBOX_DELAY_MS": str(delay_ms)}
    keeping = ("--timeout-keep-alive", str(KEEP_ALIVE_SECONDS))
    with serve(SANDBOX, env, *keeping, ready="/sandbox/v1/models") as server:
        yield server


@contextmanager
def recorded(database: FreshDatabase) -> Iterator[Server]:
    """Run the upstream that plays recorded answers."""
    with serve(RECORDED, database.env, ready="/seen") as server:
        yield server


@contextmanager
def gateway(database: FreshDatabase, sandbox_url: str = NOWHERE, *options: str, **env: str) -> Iterator[Server]:
    """Run a gateway whose sandbox provider is at an address; `options` are uvicorn's."""
    settings = database.env | {"SANDBOX_URL": f"{sandbox_url}/sandbox", "TANK_URL": PAGES} | env
    with serve(GATEWAY, settings, *options, ready="/v1/models", status=401) as server:
        yield server


@contextmanager
def production(database: FreshDatabase, sandbox_url: str = NOWHERE, **env: str) -> Iterator[Server]:
    """Run a gateway as in production: with the server, the HTTP reader and the health of `manage.py gateway`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = database.env | {"SANDBOX_URL": f"{sandbox_url}/sandbox", "TANK_URL": PAGES} | env
    command = [*MANAGE, "gateway", "--port", str(port)]
    with start_process(command, settings, ready=lambda _: answers(f"{url}/readyz")) as running:
        yield Server(running, url)


@dataclass(frozen=True)
class Purse:
    """A funded allocation and one key of it."""

    allocation: Allocation
    key: QuotaKey
    secret: str

    def quota(self, tier: Tier = Tier.STANDARD) -> Quota:
        """Return a line's quota as it stands now."""
        return Quota.objects.get(line__allocation=self.allocation, line__tier=tier)

    @property
    def key_quota(self) -> Quota:
        """Return the key's own quota as it stands now."""
        return Quota.objects.get(key=self.key)

    @property
    def records(self) -> list[UsageRecord]:
        """Return the usage records of the key, oldest first."""
        return list(UsageRecord.objects.filter(key_id=self.key.pk).order_by("id"))

    @property
    def record(self) -> UsageRecord:
        """Return its only usage record."""
        (record,) = self.records
        return record

    @property
    def bearer(self) -> dict[str, str]:
        """Return the header that authenticates in OpenAI's way."""
        return {"authorization": f"Bearer {self.secret}"}

    @property
    def x_api_key(self) -> dict[str, str]:
        """Return the headers that authenticate in Anthropic's way."""
        return {"x-api-key": self.secret, "anthropic-version": "2023-06-01"}


class House:
    """A company with a budget, a team, providers and models; prices in USD per million tokens."""

    def __init__(self, upstream: str = NOWHERE) -> None:
        self.actor = system_user()
        year_fund(actor=self.actor, amount=usd("1000000"), reason="Budget of the year")
        self.team: Team = team_create(actor=self.actor, name=f"Blue {uuid4().hex[:6]}", cost_centre="CC-1")
        box = self._provider("sandbox", Dialect.SANDBOX, "", "")
        for name, tier, price in (
            ("tank-large", Tier.FRONTIER, "5"),
            ("tank-medium", Tier.STANDARD, "1"),
            ("tank-small", Tier.ECONOMY, "0.1"),
        ):
            self.model(box, name, tier, price)
        self.model(
            self._provider("opal", Dialect.OPENAI, f"{upstream}/v1", CREDENTIAL), "gpt-6-astra", Tier.STANDARD, "2"
        )
        anthracite = self._provider("anthracite", Dialect.ANTHROPIC, upstream, CREDENTIAL)
        self.model(anthracite, "claude-sonnet-5-5", Tier.STANDARD, "3")

    def _provider(self, name: str, dialect: Dialect, base_url: str, api_key: str) -> Any:
        return provider_add(actor=self.actor, name=name, dialect=dialect, base_url=base_url, api_key=api_key)

    def model(self, provider: Any, name: str, tier: Tier, price: str) -> AiModel:
        """Add a model whose output costs three times its input."""
        return model_add(
            actor=self.actor,
            provider=provider,
            name=name,
            tier=tier,
            input_price=Decimal(price),
            output_price=3 * Decimal(price),
        )

    def provider(self, name: str) -> Provider:
        """Return a provider."""
        return Provider.objects.get(name=name)

    def rate(self, model: str) -> Rate:
        """Return a model's rate."""
        return Rate.objects.get(model__name=model)

    def purse(
        self,
        amount: str = "50",
        *,
        lines: Mapping[Tier, str] | None = None,
        cap: str | None = None,
        limits: KeyLimits = NO_LIMITS,
        stop: StopBehaviour = StopBehaviour.STOP,
    ) -> Purse:
        """Fund an allocation, by default one standard line, and issue a key."""
        amounts = {tier: Decimal(value) for tier, value in (lines or {Tier.STANDARD: amount}).items()}
        allocation = allocation_create(
            actor=self.actor,
            team=self.team,
            owner=self.actor,
            name="Claims triage",
            lines=amounts,
            funded_from=reserve_account(),
            kind=EntryKind.GRANT,
            starts_on=today() - timedelta(days=1),
            ends_on=today() + timedelta(days=30),
            stop_behaviour=stop,
            reason="A try",
            key=uuid4().hex,
        )
        limits = limits if cap is None else replace(limits, cap=Decimal(cap))
        key, secret = key_issue(actor=self.actor, allocation=allocation, name="agent", limits=limits)
        return Purse(allocation, key, secret)


def chat(model: str = "tank-medium", text: str = "How are you?", **more: Any) -> dict[str, Any]:
    """Return the body of a chat completion request."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def message(model: str = "tank-medium", text: str = "How are you?", **more: Any) -> dict[str, Any]:
    """Return the body of a messages request."""
    return chat(model, text, **{"max_tokens": 100, **more})


def response(model: str = "tank-medium", text: str = "How are you?", **more: Any) -> dict[str, Any]:
    """Return the body of a request to the Responses API."""
    return {"model": model, "input": text, **more}


def embedding(model: str = "tank-medium", text: Any = "How are you?", **more: Any) -> dict[str, Any]:
    """Return the body of an embeddings request."""
    return {"model": model, "input": text, **more}


def seen(upstream: Server) -> list[dict[str, Any]]:
    """Return what the recorded upstream was sent since the last time it was asked."""
    told: list[dict[str, Any]] = httpx.get(f"{upstream.url}/seen").json()
    return told
