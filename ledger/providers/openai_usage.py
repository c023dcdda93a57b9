"""OpenAI's usage: `GET /v1/organization/usage/{completions, embeddings, …}`, by UTC day, in tokens and calls.

OpenAI counts cached and cache-write tokens within `input_tokens`; our classes exclude one another. What is counted in
other units than tokens (images, seconds, sessions) comes as a charge for tools, with its calls; stored bytes of vector
stores are a level and no use, so they are kept as received and are no figure.
Source: openai/openai-openapi, and PyPI openai `types/admin/organization`.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, ClassVar

from ledger.models.feeds import Charge
from ledger.providers.base import FeedFailed, KeySeen, Page, Row, Source, Span
from ledger.providers.http import Absent, document_of, pages_of
from ledger.providers.openai_shared import client_of, keys_of, params_of
from ledger.providers.reading import count, day_of_unix, detail_of, items, text

BY_KEY = ("project_id", "api_key_id", "model")
BY_CALL = (*BY_KEY, "batch", "service_tier")
# What each endpoint can be grouped by; without the first the feed says nothing.
ENDPOINTS: dict[str, tuple[str, ...]] = {
    "completions": BY_CALL,
    "decisions": BY_CALL,
    "embeddings": BY_KEY,
    "moderations": BY_KEY,
    "images": (*BY_KEY, "size", "source"),
    "audio_speeches": BY_KEY,
    "audio_transcriptions": BY_KEY,
    "vector_stores": ("project_id",),
    "code_interpreter_sessions": ("project_id",),
    "file_search_calls": ("project_id", "api_key_id", "vector_store_id"),
    "web_search_calls": (*BY_KEY, "context_level"),
}
OF_TOKENS = frozenset({"completions", "decisions", "embeddings", "moderations"})
# The measure that counts the calls of what is no token.
CALLS = {
    "images": "num_model_requests",
    "audio_speeches": "num_model_requests",
    "audio_transcriptions": "num_model_requests",
    "code_interpreter_sessions": "num_sessions",
    "file_searches": "num_requests",
    "web_searches": "num_requests",
}
KEPT = frozenset({"object", "project_id", "api_key_id", "model", "batch", "service_tier"})


class OpenAIUsage:
    """Reads the organization's usage."""

    gives_tokens = True
    gives_money = False
    endpoints: ClassVar[dict[str, tuple[str, ...]]] = ENDPOINTS

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Fetch every endpoint's pages; one that the account does not have is passed over, except the first."""
        client = client_of(source)
        for name, dimensions in self.endpoints.items():
            try:
                yield from pages_of(client, f"/v1/organization/usage/{name}", params_of(source, span, dimensions))
            except Absent:
                if name == next(iter(self.endpoints)):
                    raise

    def rows(self, body: bytes, span: Span) -> Iterator[Row]:
        """Read the rows of a page; raises FeedFailed."""
        for bucket in items(document_of(body), "data"):
            day = day_of_unix(bucket)
            if day in span:
                for result in items(bucket, "results"):
                    yield from _rows(day, result)

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """List the keys of the projects."""
        return keys_of(source)


def _rows(day: date, result: Mapping[str, Any]) -> Iterator[Row]:
    kind = text(result, "object").removeprefix("organization.usage.").removesuffix(".result")
    if kind in OF_TOKENS:
        yield _tokens(day, kind, result)
    elif kind in CALLS:
        detail = detail_of(result, KEPT - {"model"}, kind)
        yield _row(day, result, charge=Charge.TOOL, detail=detail, requests=count(result, CALLS[kind]))
    elif kind != "vector_stores":
        raise FeedFailed(f"OpenAI reports {kind!r}, which Tank cannot read yet.")


def _tokens(day: date, kind: str, result: Mapping[str, Any]) -> Row:
    """Return a row of tokens, with the parts of the input taken apart."""
    read = count(result, "input_cached_tokens", optional=True)
    short, long = _written(result)
    uncached = count(result, "input_tokens") - read - short - long
    if uncached < 0 or uncached != result.get("input_uncached_tokens", uncached):
        raise FeedFailed(f"OpenAI's input tokens of {text(result, 'model')} on {day} do not add up.")
    return _row(
        day,
        result,
        model_name=text(result, "model"),
        service_tier=text(result, "service_tier"),
        is_batch=result.get("batch") is True,
        detail=detail_of(result, KEPT, "" if kind == "completions" else kind),
        requests=count(result, "num_model_requests"),
        input_tokens=uncached,
        cache_read_tokens=read,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        output_tokens=count(result, "output_tokens", optional=True),
    )


def _written(result: Mapping[str, Any]) -> tuple[int, int]:
    """Return cache writes, short- and long-lived, as the metering sorts them: those of 12 hours are the long ones.

    Either the whole is told, or its parts, or both.
    """
    long = count(result, "input_cache_write_12h_tokens", optional=True)
    short = count(result, "input_cache_write_30m_tokens", optional=True)
    whole = max(count(result, "input_cache_write_tokens", optional=True), short + long)
    return whole - long, long


def _row(day: date, result: Mapping[str, Any], **facts: Any) -> Row:
    return Row(day=day, provider_key=text(result, "api_key_id"), project=text(result, "project_id"), **facts)


ADAPTER = OpenAIUsage()
