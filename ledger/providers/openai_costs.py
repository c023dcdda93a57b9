"""OpenAI's costs: `GET /v1/organization/costs`, by UTC day, in dollars.

Amounts are JSON floats in dollars: they are read from the text as written, and rounded to 12 places, half to even,
which takes off the noise of a binary float and nothing else. The line item ("gpt-6-astra, cached_input_tokens (batch)")
says model, class of tokens, and batch or service tier; whatever is no such thing is a charge of its own.
Source: openai/openai-openapi, and PyPI openai `types/admin/organization`.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from ledger.money import CURRENCY
from ledger.providers.base import ZERO, KeySeen, Page, Row, Source, Span
from ledger.providers.http import document_of, pages_of
from ledger.providers.openai_shared import client_of, keys_of, params_of
from ledger.providers.reading import amount, charge_by_words, day_of_unix, detail_of, items, part, text, tokens_of

DIMENSIONS = ("project_id", "line_item", "api_key_id")
KEPT = frozenset({"object", "amount", "project_id", "api_key_id", "quantity", "quantity_unit"})
# "model, class (variant)"; a model's own name may have a comma in it, a class has none.
LINE_ITEM = re.compile(r"^(?P<model>.+), (?P<name>[a-z0-9_ ]+?)(?: \((?P<variant>[^()]+)\))?$")
CLASSES = {
    "input": "input",
    "cached input": "cache_read",
    "cache read": "cache_read",
    "cache write": "cache_write_5m",
    "cache write 30m": "cache_write_5m",
    "cache write 12h": "cache_write_1h",
    "output": "output",
}
TIERS = {"standard": "default"}


class OpenAICosts:
    """Reads the organization's costs."""

    gives_tokens = False
    gives_money = True

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Fetch every page; raises FeedFailed."""
        return pages_of(client_of(source), "/v1/organization/costs", params_of(source, span, DIMENSIONS))

    def rows(self, body: bytes, span: Span) -> Iterator[Row]:
        """Read the rows of a page; raises FeedFailed."""
        for bucket in items(document_of(body), "data"):
            day = day_of_unix(bucket)
            if day in span:
                yield from (_row(day, result) for result in items(bucket, "results"))

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """List the keys of the projects."""
        return keys_of(source)


def _row(day: date, result: Mapping[str, Any]) -> Row:
    told = part(result, "amount") if "amount" in result else {}
    facts = line_item(text(result, "line_item"), result.get("quantity"), result.get("quantity_unit"))
    return Row(
        day=day,
        provider_key=text(result, "api_key_id"),
        project=text(result, "project_id"),
        detail=detail_of(result, KEPT),
        amount=amount(told["value"]) if told.get("value") is not None else ZERO,
        currency=(text(told, "currency") or CURRENCY).upper(),
        **facts,
    )


def line_item(words: str, quantity: int | Decimal | None = None, unit: str | None = None) -> dict[str, Any]:
    """Return what a line item says: model, class and count of tokens, tier, batch; else what kind of charge it is."""
    found = LINE_ITEM.match(words)
    name = found["name"].replace("_", " ").removesuffix(" tokens").removesuffix(" token").strip() if found else ""
    token_class = CLASSES.get(name, "")
    if not found or not (token_class or tokens_of(quantity, unit)):
        return {"charge": charge_by_words(words)}
    variant = (found["variant"] or "").lower()
    is_batch = variant == "batch"
    tier = "" if is_batch else TIERS.get(variant, variant)
    facts = {"model_name": found["model"], "token_class": token_class, "service_tier": tier, "is_batch": is_batch}
    return facts | ({f"{token_class}_tokens": tokens_of(quantity, unit)} if token_class else {})


ADAPTER = OpenAICosts()
