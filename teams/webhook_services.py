"""Write webhooks and what goes to them. A delivery is a row of the transaction in which its event happened."""

import base64
import json
import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import Q

from teams import encryption
from teams.access import require
from teams.errors import Refused, WrongState, require_reason
from teams.models import DeliveryState, Team, User, Webhook, WebhookDelivery, WebhookEvent
from teams.services import audit_record
from teams.webhook_guard import require_url

PURPOSE = "webhook secret"
TEST_EVENT = "webhook.test"
MOST_WEBHOOKS = 20
LONGEST_GRACE = timedelta(days=7)


@transaction.atomic
def webhook_create(
    *, actor: User, team: Team | None, name: str, url: str, events: Collection[str]
) -> tuple[Webhook, str]:
    """Add a webhook of a team, or of the company (None); returns it and its secret, which is never seen again.

    Raises NotAllowed, or Refused for a name, address or event that cannot be, an address that is told already, or a
    21st webhook.
    """
    require(actor, "teams.add_webhook", team, message="Only a lead, finance or a platform admin adds webhooks.")
    if team is not None:
        Team.objects.select_for_update().get(pk=team.pk)
    name = _checked(name, url, events)
    _require_room(team, url)
    secret = _secret_make()
    webhook = Webhook.objects.create(
        team=team,
        name=name,
        url=url,
        events=sorted(set(events)),
        secret_encrypted=encryption.encrypt(secret, PURPOSE),
        created_by=actor,
    )
    audit_record(actor=actor, verb="webhook.create", target=webhook, details=_facts(webhook))
    return webhook, secret


@transaction.atomic
def webhook_update(*, actor: User, webhook: Webhook, name: str, url: str, events: Collection[str]) -> None:
    """Change a webhook's name, address and events; the secret stays. Raises as `webhook_create` does."""
    locked = _locked(actor, webhook)
    name = _checked(name, url, events)
    if url != locked.url and locked.is_enabled:
        _require_room(locked.team, url, moving=True)
    before = _facts(locked)
    locked.name, locked.url, locked.events = name, url, sorted(set(events))
    locked.save(update_fields=["name", "url", "events"])
    if before != _facts(locked):
        details = {"before": before, "after": _facts(locked)}
        audit_record(actor=actor, verb="webhook.update", target=locked, details=details)


@transaction.atomic
def webhook_rotate(*, actor: User, webhook: Webhook, grace: timedelta) -> str:
    """Give a webhook a new secret and return it; until the grace ends deliveries are signed with both.

    Raises NotAllowed, or Refused (grace) beyond seven days.
    """
    if not timedelta(0) <= grace <= LONGEST_GRACE:
        raise Refused("The grace is between 0 and 7 days.", code="grace", field="grace")
    locked = _locked(actor, webhook)
    secret = _secret_make()
    locked.former_secret_encrypted, locked.former_secret_ends_at = locked.secret_encrypted, datetime.now(UTC) + grace
    locked.secret_encrypted = encryption.encrypt(secret, PURPOSE)
    locked.save(update_fields=["secret_encrypted", "former_secret_encrypted", "former_secret_ends_at"])
    details = {"grace_seconds": int(grace.total_seconds())}
    audit_record(actor=actor, verb="webhook.rotate", target=locked, details=details)
    return secret


@transaction.atomic
def webhook_disable(*, actor: User, webhook: Webhook, reason: str) -> None:
    """Stop a webhook and drop what waits for it. Raises NotAllowed, WrongState or Refused (reason_missing)."""
    require_reason(reason)
    locked = _locked(actor, webhook)
    if not locked.is_enabled:
        raise WrongState(f"{locked.name} is disabled already.")
    locked.is_enabled, locked.disabled_at, locked.disabled_reason = False, datetime.now(UTC), reason[:300]
    locked.save(update_fields=["is_enabled", "disabled_at", "disabled_reason"])
    waiting = WebhookDelivery.objects.filter(webhook=locked, state=DeliveryState.WAITING)
    dropped = waiting.update(state=DeliveryState.DROPPED, next_attempt_at=None)
    audit_record(actor=actor, verb="webhook.disable", target=locked, reason=reason, details={"dropped": dropped})


@transaction.atomic
def webhook_enable(*, actor: User, webhook: Webhook) -> None:
    """Let a webhook be told again, of what happens from now on. Raises NotAllowed, WrongState or Refused."""
    locked = _locked(actor, webhook)
    if locked.is_enabled:
        raise WrongState(f"{locked.name} is enabled already.")
    require_url(locked.url)
    _require_room(locked.team, locked.url)
    locked.is_enabled, locked.disabled_at, locked.disabled_reason, locked.failing_since = True, None, "", None
    locked.save(update_fields=["is_enabled", "disabled_at", "disabled_reason", "failing_since"])
    audit_record(actor=actor, verb="webhook.enable", target=locked)


@transaction.atomic
def webhook_test(*, actor: User, webhook: Webhook) -> WebhookDelivery:
    """Send a test event to one webhook alone. Raises NotAllowed, or WrongState when it is disabled."""
    locked = _locked(actor, webhook)
    if not locked.is_enabled:
        raise WrongState(f"{locked.name} is disabled: enable it before you test it.")
    data = {"webhook": locked.pk, "name": locked.name, "sent_by": actor.name}
    audit_record(actor=actor, verb="webhook.test", target=locked)
    return _deliveries_make([locked], TEST_EVENT, data)[0]


@transaction.atomic
def delivery_repeat(*, actor: User, delivery: WebhookDelivery) -> None:
    """Send once more what was given up or dropped, with the same id. Raises NotAllowed or WrongState."""
    webhook = _locked(actor, delivery.webhook)
    rows = WebhookDelivery.objects.filter(pk=delivery.pk, state__in=[DeliveryState.FAILED, DeliveryState.DROPPED])
    if not webhook.is_enabled or not rows.update(state=DeliveryState.WAITING, next_attempt_at=datetime.now(UTC)):
        raise WrongState("Only what was given up or dropped can be sent again, and only to an enabled webhook.")
    audit_record(actor=actor, verb="webhook.repeat", target=webhook, details={"event_id": delivery.event_id})


def event_send(*, event: WebhookEvent, team: Team, data: dict[str, Any]) -> int:
    """Tell the webhooks of a team and of the company what happened; returns how many.

    Call it in the transaction of the change. `data` is what the receiver reads: amounts as decimal strings,
    times in ISO 8601.
    """
    told = Webhook.objects.filter(Q(team=None) | Q(team=team), is_enabled=True, events__contains=[event])
    return len(_deliveries_make(list(told.order_by("pk")), event, data))


def _deliveries_make(webhooks: list[Webhook], event: str, data: dict[str, Any]) -> list[WebhookDelivery]:
    now = datetime.now(UTC)
    event_id = f"evt_{uuid4().hex}"
    payload = json.dumps({"type": event, "timestamp": now.isoformat(), "data": data}, separators=(",", ":"))
    return WebhookDelivery.objects.bulk_create(
        WebhookDelivery(webhook=webhook, event_id=event_id, event=event, payload=payload, next_attempt_at=now)
        for webhook in webhooks
    )


def _locked(actor: User, webhook: Webhook) -> Webhook:
    locked = Webhook.objects.select_for_update(of=("self",)).select_related("team").get(pk=webhook.pk)
    require(actor, "teams.change_webhook", locked, message="Only a lead, finance or a platform admin does this.")
    return locked


def _checked(name: str, url: str, events: Collection[str]) -> str:
    name = name.strip()
    if not 0 < len(name) <= 80 or not name.isprintable():
        raise Refused("A webhook has a name of at most 80 printable characters.", field="name")
    require_url(url)
    if not events or set(events) - set(WebhookEvent.values):
        raise Refused("Choose what the address is told of.", field="events")
    return name


def _require_room(team: Team | None, url: str, *, moving: bool = False) -> None:
    enabled = Webhook.objects.filter(team=team, is_enabled=True)
    if enabled.filter(url=url).exists():
        raise Refused("This address is told already: change that webhook instead.", code="url_taken", field="url")
    if not moving and enabled.count() >= MOST_WEBHOOKS:
        raise Refused(f"There are {MOST_WEBHOOKS} webhooks; disable one that is not used.", field="name")


def _secret_make() -> str:
    # The form that Standard Webhooks gives secrets, so that every library reads it.
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _facts(webhook: Webhook) -> dict[str, Any]:
    return {"name": webhook.name, "url": webhook.url, "events": webhook.events}
