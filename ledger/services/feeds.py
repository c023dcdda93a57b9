"""Feeds: where a provider's own figures are read from, with which credential, and which of them are on."""

from typing import Any
from urllib.parse import urlsplit

from django.db import transaction

from ledger import credentials
from ledger.models import Feed, FeedKind, Provider
from ledger.providers.registry import adapter_for
from teams.access import require
from teams.errors import Refused
from teams.models import User
from teams.services import audit_record

# Where a kind is read when nothing else is said; the sandbox without an address is Tank's own.
BASE_URLS: dict[str, str] = {
    FeedKind.OPENAI_USAGE: "https://api.openai.com",
    FeedKind.OPENAI_COSTS: "https://api.openai.com",
    FeedKind.ANTHROPIC_USAGE: "https://api.anthropic.com",
    FeedKind.ANTHROPIC_COST: "https://api.anthropic.com",
    FeedKind.ANTHROPIC_USAGE_REPORT: "https://api.anthropic.com",
    FeedKind.ANTHROPIC_COST_REPORT: "https://api.anthropic.com",
    FeedKind.SANDBOX: "",
}
FILES = frozenset({FeedKind.FOCUS, FeedKind.PLAIN})
NEEDS_NO_CREDENTIAL = FILES | {FeedKind.SANDBOX}
# Their source cannot be asked for one project alone.
HAS_NO_PROJECTS = FILES | {FeedKind.ANTHROPIC_COST_REPORT, FeedKind.SANDBOX}
PROXIES = frozenset({FeedKind.LITELLM})


@transaction.atomic
def feed_add(
    *,
    actor: User,
    provider: Provider,
    kind: FeedKind,
    base_url: str = "",
    credential: str = "",
    project: str = "",
    upstream: str = "",
) -> Feed:
    """Add a feed to a provider and switch it on; without an address it is read where its kind is served.

    Raises NotAllowed, Refused (bad_base_url, credential_missing, bad_credential, project_unsupported,
    upstream_unsupported, tokens_taken, money_taken).
    """
    _require_change(actor)
    Provider.objects.select_for_update().get(pk=provider.pk)
    adapter = adapter_for(kind)
    feed = Feed(provider=provider, kind=kind, gives_tokens=adapter.gives_tokens, gives_money=adapter.gives_money)
    _set_source(feed, base_url, project, upstream)
    if kind not in NEEDS_NO_CREDENTIAL and not credential.strip():
        raise Refused("Give the admin key that it is read with.", code="credential_missing", field="credential")
    _set_credential(feed, credential.strip())
    _require_free(feed)
    feed.save()
    audit_record(actor=actor, verb="feed.add", target=feed, details=_facts(feed, has_new_credential=bool(credential)))
    return feed


@transaction.atomic
def feed_change(
    *, actor: User, feed: Feed, base_url: str, project: str = "", upstream: str = "", credential: str = ""
) -> Feed:
    """Change where a feed is read from; a blank credential keeps the one that it has.

    Raises NotAllowed, Refused (bad_base_url, bad_credential, project_unsupported, upstream_unsupported).
    """
    _require_change(actor)
    locked = Feed.objects.select_for_update().get(pk=feed.pk)
    _set_source(locked, base_url, project, upstream)
    _set_credential(locked, credential.strip())
    locked.save(update_fields=["base_url", "project", "upstream", "credential_encrypted"])
    details = _facts(locked, has_new_credential=bool(credential.strip()))
    audit_record(actor=actor, verb="feed.change", target=locked, details=details)
    return locked


@transaction.atomic
def feed_switch(*, actor: User, feed: Feed, is_enabled: bool) -> Feed:
    """Switch a feed on or off; what it has brought stays, and counts only while it is on.

    Raises NotAllowed, Refused (tokens_taken, money_taken).
    """
    _require_change(actor)
    Provider.objects.select_for_update().get(pk=feed.provider_id)
    locked = Feed.objects.select_for_update().get(pk=feed.pk)
    if locked.is_enabled == is_enabled:
        return locked
    if is_enabled:
        _require_free(locked)
    locked.is_enabled = is_enabled
    locked.save(update_fields=["is_enabled"])
    audit_record(actor=actor, verb="feed.on" if is_enabled else "feed.off", target=locked)
    return locked


def _require_change(actor: User) -> None:
    require(actor, "ledger.change_feed", message="Only finance and platform admins change feeds.")


def _set_source(feed: Feed, base_url: str, project: str, upstream: str) -> None:
    if project.strip() and feed.kind in HAS_NO_PROJECTS:
        message = f"{feed.get_kind_display()} cannot be asked for one project alone: leave it blank."
        raise Refused(message, code="project_unsupported", field="project")
    if upstream.strip() and feed.kind not in PROXIES:
        message = f"{feed.get_kind_display()} is one provider's own: leave it blank."
        raise Refused(message, code="upstream_unsupported", field="upstream")
    feed.project, feed.upstream = project.strip(), upstream.strip()
    feed.base_url = "" if feed.kind in FILES else _address(feed.kind, base_url.strip())


def _set_credential(feed: Feed, given: str) -> None:
    """Encrypt a credential; it goes into a header, so it is plain characters without spaces."""
    if not (given.isascii() and given.isprintable()) or " " in given:
        raise Refused("A key has no spaces and no special characters.", code="bad_credential", field="credential")
    if given:
        feed.credential_encrypted = credentials.encrypt(given)


def _address(kind: str, given: str) -> str:
    """Return where a feed is read from; an address with a name or password in it would show them on every page."""
    if not given and kind in BASE_URLS:
        return BASE_URLS[kind]
    parts = urlsplit(given)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.query:
        raise Refused(f"{given!r} is not a plain http(s) address.", code="bad_base_url", field="base_url")
    return given.rstrip("/")


def _require_free(feed: Feed) -> None:
    """Refuse a second source of one figure: it would count twice."""
    others = Feed.objects.filter(provider_id=feed.provider_id, is_enabled=True).exclude(pk=feed.pk).order_by("pk")
    for other in others:
        for what in ("tokens", "money"):
            if getattr(feed, f"gives_{what}") and getattr(other, f"gives_{what}"):
                message = f"{other} gives the provider's {what} already: switch it off first."
                raise Refused(message, code=f"{what}_taken", field="kind")


def _facts(feed: Feed, *, has_new_credential: bool) -> dict[str, Any]:
    """Return what history keeps: never the credential itself."""
    facts = {"kind": feed.kind, "base_url": feed.base_url, "project": feed.project, "upstream": feed.upstream}
    return facts | {"has_new_credential": has_new_credential}
