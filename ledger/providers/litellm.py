"""LiteLLM's spend logs: a row per call, `GET /spend/logs/v2` of a proxy that keeps them in its database.

https://docs.litellm.ai/docs/proxy/cost_tracking. It takes moments of whole seconds, both ends included, and pages of up
to 1000 rows; it counts rows up to a cap, so a window that has more is halved. Its order is by start alone, so pages may
overlap or leave gaps where calls started together: rows are told apart by `request_id`, and a window that shows fewer
of them than it says it has is a failure.

- `prompt_tokens` counts tokens from and to caches too; those are in `metadata.usage_object`.
- `spend` is a binary float: it is rounded half even to 12 places.
- Answers out of LiteLLM's own cache reached no provider and are left out; so are failures that cost nothing.
- A proxy in front of several providers is a feed of each, limited to the calls whose `custom_llm_provider` is it.
- A call that Tank's hook held bears the hold's name (`metadata.spend_logs_metadata.tank_call`): its key is Tank's own
  and is left blank. What else comes with a key came past Tank.
- The key is the hash that LiteLLM keeps of it, the project the team; the model is the name that callers use.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from ledger.models.feeds import Charge
from ledger.providers.base import FeedFailed, KeySeen, Page, Row, Source, Span
from ledger.providers.http import Access, Client

PATH, KEYS = "/spend/logs/v2", "/key/list"
PAGE_ROWS, KEYS_ROWS = 1000, 100
MOMENT = "%Y-%m-%d %H:%M:%S"
SHORTEST = timedelta(seconds=2)
# LiteLLM writes its logs in batches, a call when it has ended.
LATE = timedelta(minutes=15)
# Where Tank's hook notes which hold a call has.
HELD = "tank_call"
PLACES = Decimal(1).scaleb(-12)
ACCESS = Access("LiteLLM", "authorization", "Bearer ", key="the master key, or a key of a proxy admin")


def _client(source: Source) -> Client:
    return Client(ACCESS, source.base_url, source.credential)


@dataclass(frozen=True, slots=True)
class _Window:
    """Moments of whole seconds, both included."""

    starts_at: datetime
    ends_at: datetime

    def halves(self) -> tuple["_Window", "_Window"]:
        middle = self.starts_at + timedelta(seconds=int((self.ends_at - self.starts_at).total_seconds()) // 2)
        return _Window(self.starts_at, middle), _Window(middle, self.ends_at)

    def params(self, project: str, page: int) -> dict[str, str]:
        asked = {
            "start_date": self.starts_at.strftime(MOMENT),
            "end_date": self.ends_at.strftime(MOMENT),
            "page": str(page),
            "page_size": str(PAGE_ROWS),
            "sort_by": "startTime",
            "sort_order": "asc",
        }
        return asked | ({"team_id": project} if project else {})


class LiteLLM:
    """Reads the spend logs of a LiteLLM proxy."""

    gives_tokens = gives_money = True

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Fetch the calls of each day; raises FeedFailed."""
        client, until = _client(source), datetime.now(UTC) - LATE
        day = span.starts_at
        while day < span.ends_at:
            yield from _pages(client, source.project, _Window(day, day + timedelta(days=1)), until)
            day += timedelta(days=1)

    def rows(self, body: bytes, span: Span) -> Iterator[Row]:
        """Read the calls of one page that started in the span; raises FeedFailed."""
        for told in _answer(body)["data"]:
            row = _row(told)
            if row and row.day in span:
                yield row

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """List the proxy's keys by their hashes; raises FeedFailed."""
        client = _client(source)
        page = pages = 1
        while page <= pages:
            asked = (("page", str(page)), ("size", str(KEYS_ROWS)), ("return_full_object", "true"))
            answer = _json(client.get(KEYS, asked).body)
            pages = int(answer.get("total_pages") or 1)
            page += 1
            for key in answer.get("keys") or ():
                if isinstance(key, dict) and key.get("token"):
                    yield KeySeen(
                        external_id=str(key["token"]),
                        name=str(key.get("key_alias") or "")[:160],
                        hint=str(key.get("key_name") or "")[:60],
                        project=str(key.get("team_id") or "")[:160],
                    )


def _pages(client: Client, project: str, window: _Window, until: datetime) -> Iterator[Page]:
    """Fetch the pages of a window, or of its halves where it has more rows than LiteLLM counts."""
    number, seen = 1, set[str]()
    while True:
        params = window.params(project, number)
        told = client.get(PATH, tuple(params.items()))
        answer = _answer(told.body)
        if answer.get("total_is_capped"):
            if window.ends_at - window.starts_at < SHORTEST:
                raise FeedFailed(f"LiteLLM has more calls of {params['start_date']} than it lists.")
            for half in window.halves():
                yield from _pages(client, project, half, until)
            return
        yield replace(told, complete_until=until)
        seen |= {str(row.get("request_id")) for row in answer["data"]}
        if len(answer["data"]) < PAGE_ROWS:
            break
        number += 1
    if len(seen) < int(answer.get("total") or 0) and window.ends_at < until:
        raise FeedFailed(f"LiteLLM listed {len(seen)} of {answer['total']} calls; its log changed meanwhile.")


def _json(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body, parse_float=Decimal)
    except ValueError as error:
        raise FeedFailed("LiteLLM's answer is not JSON.") from error
    if not isinstance(answer, dict):
        raise FeedFailed("LiteLLM's answer is not an object.")
    return answer


def _answer(body: bytes) -> dict[str, Any]:
    answer = _json(body)
    data = answer.get("data")
    if not isinstance(data, list) or not all(isinstance(told, dict) for told in data):
        raise FeedFailed("LiteLLM's answer has no list of calls.")
    return answer


def _row(told: dict[str, Any]) -> Row | None:
    """Read one call; None for one that reached no provider. Raises FeedFailed."""
    try:
        spend = Decimal(str(told.get("spend") or 0)).quantize(PLACES, ROUND_HALF_EVEN)
        metadata = _metadata(told)
        tokens = _tokens(told, metadata)
        day = _moment(str(told["startTime"])).date()
        request_id = str(told["request_id"])
    except (KeyError, ValueError, TypeError, InvalidOperation) as error:
        raise FeedFailed(f"LiteLLM's call {told.get('request_id')} cannot be read: {error!r}.") from error
    is_nothing = not spend and not any(tokens.values())
    if str(told.get("cache_hit")).lower() == "true" or (told.get("status") == "failure" and is_nothing):
        return None
    return Row(
        day=day,
        model_name=str(told.get("model_group") or told.get("model") or "")[:200],
        provider_key=_key(told, metadata)[:160],
        project=str(told.get("team_id") or "")[:160],
        charge=Charge.TOKENS if any(tokens.values()) or not spend else Charge.TOOL,
        requests=1,
        amount=spend,
        row_id=request_id,
        upstream=str(told.get("custom_llm_provider") or ""),
        **tokens,  # type: ignore[arg-type]  # counts, by the names of their columns
    )


def _key(told: dict[str, Any], metadata: dict[str, Any]) -> str:
    """Return the hash of the key that a call came with; blank for a call that Tank's hook held."""
    is_held = _object(metadata.get("spend_logs_metadata")).get(HELD)
    return "" if is_held else str(told.get("api_key") or "")


def _moment(text: str) -> datetime:
    told = datetime.fromisoformat(text)
    return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)


def _tokens(told: dict[str, Any], metadata: dict[str, Any]) -> dict[str, int]:
    """Return the tokens of a call by class; each is counted once."""
    usage = {**_object(metadata.get("additional_usage_values")), **_object(metadata.get("usage_object"))}
    details = _object(usage.get("prompt_tokens_details"))
    read = _count(usage.get("cache_read_input_tokens") or details.get("cached_tokens"))
    written = _count(usage.get("cache_creation_input_tokens") or details.get("cache_creation_tokens"))
    hour = _count(_object(details.get("cache_creation_token_details")).get("ephemeral_1h_input_tokens"))
    prompt = _count(told.get("prompt_tokens"))
    # Some routes pass the provider's own count on, in which caches are not.
    plain = prompt - read - written if prompt >= read + written else prompt
    return {
        "input_tokens": plain,
        "cache_read_tokens": read,
        "cache_write_5m_tokens": written - min(hour, written),
        "cache_write_1h_tokens": min(hour, written),
        "output_tokens": _count(told.get("completion_tokens")),
    }


def _metadata(told: dict[str, Any]) -> dict[str, Any]:
    metadata = told.get("metadata")
    return _json(metadata.encode()) if isinstance(metadata, str) and metadata else _object(metadata)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    count = int(str(value or 0))
    if count < 0:
        raise ValueError(f"{count} tokens")
    return count


ADAPTER = LiteLLM()
