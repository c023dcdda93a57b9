"""The spend logs of a real LiteLLM proxy with our hook: what Tank held is matched, what went past it shows.

The proxy keeps its logs in a database with its own schema; only the client between them is a stand-in (see
`tests/stand_ins/prisma`), because the engine of the one that it generates is a program that no package brings.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import anthropic
import httpx2 as httpx
import openai
import pytest

from ledger.checks import breaches
from ledger.models import Account, FeedFigure, FeedKind, FetchState, Outcome, ProviderKey, ReconciliationLine, Tier
from ledger.providers.base import Span
from ledger.selectors import balance, today
from ledger.services.feeds import feed_add
from ledger.services.fetching import feed_fetch
from ledger.services.reconciliation import reconcile
from tests.allocations.gateways import House, Server, sandbox, serve
from tests.allocations.litellms import MASTER_KEY, litellm, logged_settings, logs_database
from tests.allocations.sdks import HELLO
from tests.conftest import FreshDatabase
from tests.environments import NotToBeHad
from tests.processes import until

pytestmark = pytest.mark.slow

MEDIUM, SMALL = "tank-medium", "tank-small"
# USD per token, as Tank's own rates of the two say it per million.
PRICES = {MEDIUM: ("0.000001", "0.000003"), SMALL: ("0.0000001", "0.0000003")}


@dataclass(frozen=True)
class Place:
    """A proxy that keeps logs, and a key of LiteLLM's own for a team."""

    proxy: Server
    house: House
    key: str

    def openai(self, secret: str) -> openai.OpenAI:
        headers = {"x-tank-key": secret}
        base_url = f"{self.proxy.url}/v1"
        return openai.OpenAI(base_url=base_url, api_key=self.key, default_headers=headers, max_retries=0)

    def anthropic(self, secret: str) -> anthropic.Anthropic:
        headers, base_url = {"x-tank-key": secret}, self.proxy.url
        return anthropic.Anthropic(base_url=base_url, auth_token=self.key, default_headers=headers, max_retries=0)

    def logged(self) -> list[dict[str, Any]]:
        """Return the calls that the proxy has logged."""
        first, last = today() - timedelta(days=1), today() + timedelta(days=1)
        asked = {"start_date": f"{first} 00:00:00", "end_date": f"{last} 00:00:00"}
        found: list[dict[str, Any]] = self.ask("GET", "/spend/logs/v2", params=asked)["data"]
        return found

    def ask(self, method: str, path: str, **more: Any) -> Any:
        headers = {"authorization": f"Bearer {MASTER_KEY}"}
        answer = httpx.request(method, f"{self.proxy.url}{path}", headers=headers, timeout=60, **more)
        return answer.raise_for_status().json()


@pytest.fixture
def place(fresh_database: FreshDatabase, tmp_path: Any) -> Iterator[Place]:
    house = House()
    tank_at = serve("marketplace.asgi:application", fresh_database.env, ready="/readyz")
    try:
        with sandbox(fresh_database) as box, tank_at as tank, logs_database() as logs:
            models = {MEDIUM: ("openai", f"{box.url}/sandbox/v1"), SMALL: ("anthropic", f"{box.url}/sandbox")}
            with litellm(tmp_path, logged_settings(models, PRICES), tank.url, logs) as proxy:
                place = Place(proxy, house, "")
                made = place.ask("POST", "/key/generate", json={"key_alias": "claims"})
                yield Place(proxy, house, made["key"])
    except NotToBeHad as reason:
        pytest.skip(f"LiteLLM is not here: {reason}")


def test_what_the_hook_held_is_matched_call_by_call_and_what_it_refused_is_nobodys(place: Place) -> None:
    house, purse = place.house, place.house.purse(lines={Tier.STANDARD: "50", Tier.ECONOMY: "50"})
    by_openai, by_anthropic = place.openai(purse.secret), place.anthropic(purse.secret)
    by_openai.chat.completions.create(model=MEDIUM, messages=HELLO)
    list(by_openai.chat.completions.create(model=MEDIUM, messages=HELLO, stream=True))
    by_openai.responses.create(model=MEDIUM, input="Say something, please.")
    by_openai.embeddings.create(model=MEDIUM, input=["one", "two"])
    by_anthropic.messages.create(model=SMALL, max_tokens=40, messages=HELLO)
    with pytest.raises(openai.AuthenticationError):
        place.openai("not-a-quota-key").chat.completions.create(model=MEDIUM, messages=HELLO)
    until(lambda: statuses(place) == {"success": 5, "failure": 1}, within=60, what="six calls in LiteLLM's log")

    source = feed_add(
        actor=house.actor,
        provider=house.provider("sandbox"),
        kind=FeedKind.LITELLM,
        base_url=place.proxy.url,
        credential=MASTER_KEY,
    )
    span = Span(today() - timedelta(days=1), today())
    fetch = feed_fetch(actor=house.actor, feed=source, span=span)
    reconcile(actor=house.actor, provider=source.provider, span=span)

    assert (fetch.state, fetch.failure, fetch.rows_count) == (FetchState.DONE, "", 5)
    lines = {line.model.name: line for line in ReconciliationLine.objects.select_related("model") if line.model}
    assert {name: (line.outcome, line.metered_records, line.reported_requests) for name, line in lines.items()} == {
        MEDIUM: (Outcome.MATCHED, 4, 4),
        SMALL: (Outcome.MATCHED, 1, 1),
    }
    assert sum(line.reported for line in lines.values()) == sum(record.cost for record in purse.records)
    # No call came with a key past Tank; the team's key is known from LiteLLM's list.
    assert set(FeedFigure.objects.values_list("provider_key", flat=True)) == {""}
    assert list(ProviderKey.objects.values_list("name", flat=True)) == ["claims"]
    assert balance(Account.objects.get(code="metered:sandbox")).amount == 0
    assert breaches() == []


def statuses(place: Place) -> Counter[str]:
    return Counter(call["status"] for call in place.logged())
