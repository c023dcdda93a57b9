"""The one HTTP client of all feeds: patient with a provider that stumbles, bounded in time and size, plain in words.

A request is tried again after connection errors, 429 and 5xx, with exponential backoff and jitter (urllib3's Retry);
`Retry-After` is respected up to a cap. An answer that breaks off, or is no JSON, is asked for again. Nothing follows a
redirect: the credential goes to the address of the feed and to no other.
"""

import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from ledger.providers.base import FeedFailed, Page

Params = Sequence[tuple[str, str]]

CONNECT_SECONDS = 10
RETRIES = 4
MOST_WAIT_SECONDS = 60  # between two tries, whatever Retry-After says
MOST_BYTES = 64 * 1024 * 1024  # of one answer, unpacked
MOST_PAGES = 10_000
AGAIN = (408, 429, 500, 502, 503, 504, 520, 522, 524, 529)
CHUNK = 64 * 1024
WORDS_OF_THEIRS = 300  # characters of a provider's own message that are passed on
KEY_NEEDED = {
    401: "It does not know this credential: set {key} on the feed.",
    403: "This credential may not read it: that needs {key}.",
}


class Absent(FeedFailed):
    """The source has no such address (404)."""


class Forbidden(FeedFailed):
    """The source does not let this credential see it (403)."""


class _Patient(Retry):
    """Tries again as Retry does, but not for longer than a whole fetch may take."""

    def __init__(self, *args: Any, until: float = float("inf"), **kwargs: Any) -> None:
        self.until = until
        super().__init__(*args, **kwargs)

    def new(self, **changes: Any) -> "_Patient":
        return super().new(**{"until": self.until, **changes})

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        if time.monotonic() >= self.until:
            raise _too_long()
        super().sleep(response)


class _Header(AuthBase):
    """Sends the credential; as `auth`, so that no .netrc of the machine takes its place."""

    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value:
            request.headers[self._name] = self._value
        return request


@dataclass(frozen=True, slots=True)
class Access:
    """How a provider is asked: its name for people, the credential's header, other headers, and what key it takes."""

    name: str
    auth_header: str
    auth_prefix: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    key: str = "an admin key of the organization"


class Client:
    """Asks one source during one fetch."""

    def __init__(self, access: Access, base_url: str, credential: str) -> None:
        self._base = base_url.rstrip("/").removesuffix("/v1")
        self._credential = credential
        self._key = access.key
        self._who = f"{access.name} ({urlsplit(self._base).hostname})"
        self._until = time.monotonic() + settings.FEED_TOTAL_SECONDS
        self._session = requests.Session()
        self._session.headers.update({"accept": "application/json", "user-agent": "tank", **dict(access.headers)})
        self._session.auth = _Header(access.auth_header, f"{access.auth_prefix}{credential}" if credential else "")
        adapter = HTTPAdapter(max_retries=self._retry())
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def _retry(self) -> _Patient:
        return _Patient(
            total=RETRIES,
            status_forcelist=AGAIN,
            allowed_methods={"GET"},
            backoff_factor=settings.FEED_BACKOFF_SECONDS,
            backoff_jitter=settings.FEED_BACKOFF_SECONDS,
            backoff_max=MOST_WAIT_SECONDS,
            retry_after_max=MOST_WAIT_SECONDS,
            raise_on_status=False,
            until=self._until,
        )

    def get(self, path: str, params: Params = ()) -> Page:
        """Ask for one answer and return it as received; raises FeedFailed, of which Absent for 404, Forbidden for 403.

        One that is no JSON in spite of several tries is returned all the same: it is evidence.
        """
        query = f"?{urlencode(params)}" if params else ""
        request, body = f"{path}{query}", None
        for turn in range(RETRIES):
            body = self._try(request)
            if body is not None and _is_json(body):
                break
            self._wait(turn)
        if body is None:
            raise FeedFailed(f"{self._who} broke off its answer {RETRIES} times. It is fetched again at the next run.")
        return Page(request, body)

    def _try(self, request: str) -> bytes | None:
        """Return an answer's body; None when it broke off."""
        timeouts = (min(CONNECT_SECONDS, settings.FEED_READ_SECONDS), settings.FEED_READ_SECONDS)
        try:
            answer = self._session.get(f"{self._base}{request}", stream=True, allow_redirects=False, timeout=timeouts)
        except requests.RequestException as error:
            raise FeedFailed(f"{self._who} {_silence(error)} It is fetched again at the next run.") from None
        with answer:
            try:
                body = self._read(answer)
            except HTTPError:
                return None
            if answer.status_code != requests.codes.ok:
                raise self._refusal(answer, body)
            return body

    def _read(self, answer: requests.Response) -> bytes:
        body = bytearray()
        # What has come is taken as it comes: who sends a byte a minute must not hold a fetch beyond its time.
        while chunk := answer.raw.read1(CHUNK, decode_content=True):
            body += chunk
            if len(body) > MOST_BYTES:
                raise FeedFailed(f"{self._who} answered more than {MOST_BYTES >> 20} MiB at once: ask for fewer days.")
            if time.monotonic() >= self._until:
                raise _too_long()
        return bytes(body)

    def _wait(self, turn: int) -> None:
        if time.monotonic() >= self._until:
            raise _too_long()
        longest = settings.FEED_BACKOFF_SECONDS * 2**turn
        time.sleep(min(MOST_WAIT_SECONDS, longest * (1 + random.random()) / 2))  # noqa: S311 - jitter is no secret

    def _refusal(self, answer: requests.Response, body: bytes) -> FeedFailed:
        status = answer.status_code
        said = f"{self._who} answered {status}{f' {answer.reason}' if answer.reason else ''}."
        if status in KEY_NEEDED:
            return (Forbidden if status == 403 else FeedFailed)(f"{said} {KEY_NEEDED[status].format(key=self._key)}")
        if status == 404:
            return Absent(f"{said} Is the feed's address right? {self._base} has no such page.")
        if answer.is_redirect:
            return FeedFailed(f"{said} It points elsewhere, where the credential is not sent: set the feed's address.")
        if status in AGAIN:
            return FeedFailed(f"{said} It was asked {RETRIES + 1} times, and is fetched again at the next run.")
        return FeedFailed(f"{said} {self._their_words(body)}".rstrip())

    def _their_words(self, body: bytes) -> str:
        """Return what the provider says is wrong, without the credential that some of them repeat."""
        try:
            error = json.loads(body)["error"]
            words = str(error["message"] if isinstance(error, dict) else error)
        except (ValueError, LookupError, TypeError):
            return ""
        clean = words.replace(self._credential, "…") if self._credential else words
        return f"It says: {' '.join(clean.split())[:WORDS_OF_THEIRS]}"


def _too_long() -> FeedFailed:
    return FeedFailed(
        f"The fetch took longer than {settings.FEED_TOTAL_SECONDS} s and was given up: fetch fewer days at once."
    )


def _silence(error: requests.RequestException) -> str:
    match error:
        case requests.exceptions.SSLError():
            return "has no certificate that this machine trusts."
        case requests.ConnectTimeout():
            return "could not be reached in time."
        case requests.ReadTimeout():
            return f"did not answer within {settings.FEED_READ_SECONDS} s."
        case requests.exceptions.InvalidURL() | requests.exceptions.InvalidSchema():
            return "is no address that can be asked: correct the feed's."
        case _ if "Read timed out" in str(error):
            return f"did not answer within {settings.FEED_READ_SECONDS} s, {RETRIES + 1} times."
        case _:
            return "could not be reached."


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def document_of(body: bytes) -> dict[str, Any]:
    """Read an answer: its numbers with a point as Decimal, exactly as written; raises FeedFailed."""
    try:
        document = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise FeedFailed("An answer is no JSON that can be read; the page is kept as received.") from None
    if not isinstance(document, dict):
        raise FeedFailed("An answer is no JSON object; the page is kept as received.")
    return document


def pages_of(client: Client, path: str, params: Params) -> Iterator[Page]:
    """Fetch a list whole, page after page, by `has_more`, `next_page` and `page`; raises FeedFailed.

    Where the provider says up to when its figures are refreshed (`data_refreshed_at`), a page is complete until then,
    and until the earliest such moment of the pages before it.
    """
    token, seen, refreshed = "", set[str](), None
    for _ in range(MOST_PAGES):
        page = client.get(path, [*params, ("page", token)] if token else params)
        try:
            document = document_of(page.body)
            refreshed = _earlier(refreshed, document.get("data_refreshed_at"))
        except FeedFailed:
            yield page
            raise
        yield Page(page.request, page.body, refreshed)
        if not document.get("has_more"):
            return
        seen.add(token)
        token = document.get("next_page") or ""
        if not isinstance(token, str) or token in seen:
            raise FeedFailed("It says that there is another page, but not which: its figures would not be whole.")
    raise FeedFailed(f"It has more than {MOST_PAGES} pages: fetch fewer days at once.")


def _earlier(before: datetime | None, told: object) -> datetime | None:
    if told is None:
        return before
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        raise FeedFailed(f"It says that its figures are of {told!r}, which is no moment.") from None
    if moment.tzinfo is None:
        raise FeedFailed(f"It says that its figures are of {told!r}, without a time zone.")
    return min(before, moment) if before else moment


def listed(client: Client, path: str, cursor: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list that goes on after its `last_id`; `cursor` is what that is asked with."""
    after = ""
    for _ in range(MOST_PAGES):
        params = [("limit", "100"), *([(cursor, after)] if after else [])]
        document = document_of(client.get(path, params).body)
        yield from (item for item in document.get("data") or [] if isinstance(item, dict))
        last = document.get("last_id")
        if not document.get("has_more") or not last or last == after:
            return
        after = str(last)
