"""The sandbox's usage: `GET /sandbox/v1/organization/usage/completions`, in OpenAI's shape, by UTC day, in tokens.

The sandbox counts for itself what it answered, so its figures can differ from what Tank metered, as a provider's can.
Where nobody says that it is elsewhere (SANDBOX_URL, or the feed's address), what it counted is in this machine's data
folder, and the floor that serves it answers in this process: a command needs no web server.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

from django.conf import settings

from ledger.providers.base import FeedFailed, KeySeen, Page, Source, Span
from ledger.providers.openai_usage import ENDPOINTS, OpenAIUsage

PATH = "/sandbox/v1/organization/usage/completions"
Answer = Callable[[str], bytes]  # a query, and the body that the sandbox answers it with
_HERE: list[Answer] = []


def register(answer: Answer) -> None:
    """Say how the sandbox answers in this process; the last one says it."""
    _HERE[:] = [answer]


class Sandbox(OpenAIUsage):
    """Reads the usage that the sandbox counted; it has no list of keys."""

    endpoints: ClassVar[dict[str, tuple[str, ...]]] = {"completions": ENDPOINTS["completions"]}

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Fetch every page from where the sandbox is, or read it here; raises FeedFailed."""
        if source.base_url or settings.SANDBOX_IS_ELSEWHERE:
            return super().pages(replace(source, base_url=source.base_url or settings.SANDBOX_URL), span)
        return _here(span)

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """List nothing."""
        return iter(())


def _here(span: Span) -> Iterator[Page]:
    if not _HERE:
        raise FeedFailed("Nobody serves the sandbox here: set SANDBOX_URL.")
    asked = f"start_time={int(span.starts_at.timestamp())}&end_time={int(span.ends_at.timestamp())}&limit=31"
    query: str | None = asked
    while query:
        body = _HERE[0](query)
        yield Page(f"{PATH}?{query}", body)
        following = json.loads(body)["next_page"]
        query = f"{asked}&page={following}" if following else None


ADAPTER = Sandbox()
