"""What all of OpenAI's feeds have in common: where they are, how they are asked, and its list of keys."""

from collections.abc import Iterator
from urllib.parse import quote

from ledger.providers.base import KeySeen, Source, Span
from ledger.providers.http import Absent, Access, Client, Forbidden, listed
from ledger.providers.reading import text

BASE_URL = "https://api.openai.com"
ACCESS = Access("OpenAI", "authorization", "Bearer ")
DAYS_AT_ONCE = 31  # buckets of a day on one page, at most


def client_of(source: Source) -> Client:
    """Return a client for a feed; without an address it is OpenAI's own."""
    return Client(ACCESS, source.base_url or BASE_URL, source.credential)


def params_of(source: Source, span: Span, dimensions: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the query for whole UTC days, by these dimensions; arrays are written as the SDK writes them."""
    return [
        ("start_time", str(int(span.starts_at.timestamp()))),
        ("end_time", str(int(span.ends_at.timestamp()))),
        ("bucket_width", "1d"),
        ("limit", str(DAYS_AT_ONCE)),
        *(("group_by[]", name) for name in dimensions),
        *([("project_ids[]", source.project)] if source.project else []),
    ]


def keys_of(source: Source) -> Iterator[KeySeen]:
    """List the keys of the feed's project, or of all projects; none where the account refuses the list.

    They are all fetched before the first is given: who takes them may be in a transaction.
    """
    client = client_of(source)
    try:
        projects = [source.project] if source.project else _projects(client)
        return iter([key for project in projects for key in _keys(client, project)])
    except (Absent, Forbidden):
        return iter(())


def _projects(client: Client) -> list[str]:
    return [text(item, "id") for item in listed(client, "/v1/organization/projects", "after")]


def _keys(client: Client, project: str) -> Iterator[KeySeen]:
    for item in listed(client, f"/v1/organization/projects/{quote(project, safe='')}/api_keys", "after"):
        yield KeySeen(text(item, "id"), text(item, "name"), text(item, "redacted_value")[:60], project)
