"""Deliveries leave here, signed as Standard Webhooks says (https://www.standardwebhooks.com).

A sender claims rows for a while, in a short transaction that skips what another holds; sends them outside any
transaction; and notes what came of it. A crash in between sends an event twice after the lease, never not at all,
and the receiver tells the repetition by its id.
"""

import asyncio
import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp
from django.db import transaction
from standardwebhooks import Webhook as Signer

from teams import encryption
from teams.models import DeliveryState, Role, User, Webhook, WebhookDelivery
from teams.selectors import leads_of, people_with_role, system_user
from teams.services import notification_send
from teams.webhook_guard import Forbidden, socket_guarded
from teams.webhook_services import PURPOSE, webhook_disable

BATCH = 50
LEASE = timedelta(minutes=2)  # longer than a batch can take
TIMEOUT_SECONDS = 15
FIRST_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(hours=12)
MOST_ATTEMPTS = 17  # about five and a half days
DISABLE_AFTER = timedelta(days=5)
GONE = 410
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A request that is ready to leave."""

    url: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt: the answer's status, or why there was none."""

    status: int | None = None
    error: str = ""

    @property
    def is_good(self) -> bool:
        """Say whether the receiver took it."""
        return self.status is not None and not self.error


def deliveries_send(*, now: datetime | None = None, limit: int = BATCH) -> int:
    """Send every delivery that is due, in batches of `limit`, and return how many were tried. Safe to run at once.

    What fails is tried again after 30 s, 2 min, 8 min and so on up to every 12 h, each a little later by chance, and
    given up after the seventeenth time.
    """
    tried = 0
    while claimed := _claim(now or datetime.now(UTC), limit):
        outcomes = asyncio.run(_post_all([_parcel(delivery) for delivery in claimed]))
        for delivery, outcome in zip(claimed, outcomes, strict=True):
            _note(delivery, outcome, now or datetime.now(UTC))
        tried += len(claimed)
    return tried


@transaction.atomic
def _claim(now: datetime, limit: int) -> list[WebhookDelivery]:
    waiting = WebhookDelivery.objects.select_for_update(skip_locked=True, of=("self",)).select_related("webhook")
    due = list(
        waiting.filter(state=DeliveryState.WAITING, next_attempt_at__lte=now).order_by("next_attempt_at", "pk")[:limit]
    )
    for delivery in due:
        if delivery.webhook.is_enabled:
            delivery.attempts += 1
            delivery.next_attempt_at, delivery.last_attempt_at = now + LEASE, now
        else:
            delivery.state, delivery.next_attempt_at = DeliveryState.DROPPED, None
    WebhookDelivery.objects.bulk_update(due, ["state", "attempts", "next_attempt_at", "last_attempt_at"])
    return [delivery for delivery in due if delivery.webhook.is_enabled]


def _parcel(delivery: WebhookDelivery) -> Parcel | Outcome:
    moment = datetime.now(UTC)  # of sending, whatever the schedule says: receivers refuse what is old
    try:
        signatures = " ".join(
            Signer(secret).sign(delivery.event_id, moment, delivery.payload)
            for secret in _secrets(delivery.webhook, moment)
        )
    except encryption.Unreadable as error:
        return Outcome(error=str(error))
    headers = {
        "content-type": "application/json",
        "user-agent": "Tank-Webhooks/1",
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signatures,
    }
    return Parcel(delivery.webhook.url, delivery.payload.encode(), headers)


def _secrets(webhook: Webhook, moment: datetime) -> list[str]:
    found = [encryption.decrypt(webhook.secret_encrypted, PURPOSE)]
    if webhook.former_secret_ends_at is not None and webhook.former_secret_ends_at > moment:
        found.append(encryption.decrypt(webhook.former_secret_encrypted, PURPOSE))
    return found


async def _post_all(parcels: list[Parcel | Outcome]) -> list[Outcome]:
    connector = aiohttp.TCPConnector(socket_factory=socket_guarded, force_close=True)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar) as session:
        return await asyncio.gather(*(_post(session, parcel) for parcel in parcels))


async def _post(session: aiohttp.ClientSession, parcel: Parcel | Outcome) -> Outcome:
    if isinstance(parcel, Outcome):
        return parcel
    try:
        # The answer's body is not read: nobody shall learn from our log what an address inside says.
        async with session.post(
            parcel.url, data=parcel.body, headers=parcel.headers, allow_redirects=False
        ) as response:
            return Outcome(status=response.status, error=_refusal(response.status))
    except TimeoutError:
        return Outcome(error=f"No answer within {TIMEOUT_SECONDS} seconds.")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        cause = getattr(error, "os_error", error)
        return Outcome(error=(str(cause if isinstance(cause, Forbidden) else error) or type(error).__name__)[:300])


def _refusal(status: int) -> str:
    if 200 <= status < 300:
        return ""
    redirected = " Redirects are not followed: enter the address that answers." if 300 <= status < 400 else ""
    return f"It answered with {status}.{redirected}"


@transaction.atomic
def _note(delivery: WebhookDelivery, outcome: Outcome, now: datetime) -> None:
    webhook = Webhook.objects.select_for_update(of=("self",)).select_related("team").get(pk=delivery.webhook_id)
    # A sender that was slower than its lease finds the row with another, and changes nothing.
    mine = WebhookDelivery.objects.filter(pk=delivery.pk, state=DeliveryState.WAITING, attempts=delivery.attempts)
    noted = {"last_status": outcome.status, "last_error": outcome.error}
    if outcome.is_good:
        mine.update(state=DeliveryState.DELIVERED, next_attempt_at=None, **noted)
        Webhook.objects.filter(pk=webhook.pk).exclude(failing_since=None).update(failing_since=None)
        return
    log.warning("webhook %s: %s (attempt %s of %s)", webhook.pk, outcome.error, delivery.attempts, delivery.event_id)
    if delivery.attempts >= MOST_ATTEMPTS:
        mine.update(state=DeliveryState.FAILED, next_attempt_at=None, **noted)
    else:
        mine.update(next_attempt_at=now + delay_after(delivery.attempts), **noted)
    _failed(webhook, outcome, now)


def delay_after(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts: four times longer each time, up to a fifth more by chance."""
    plain = min(FIRST_DELAY.total_seconds() * 4.0 ** (attempts - 1), LONGEST_DELAY.total_seconds())
    return timedelta(seconds=plain * (1 + random.random() / 5))  # noqa: S311 - spreads load, keeps no secret


def _failed(webhook: Webhook, outcome: Outcome, now: datetime) -> None:
    since = webhook.failing_since or now
    Webhook.objects.filter(pk=webhook.pk).update(failing_since=since)
    if not webhook.is_enabled or (outcome.status != GONE and now - since < DISABLE_AFTER):
        return
    reason = "It said that it is gone (410)." if outcome.status == GONE else f"It failed for {(now - since).days} days."
    webhook_disable(actor=system_user(), webhook=webhook, reason=reason)
    for person in _owners(webhook):
        notification_send(
            user=person,
            title=f"The webhook {webhook.name} is disabled",
            body=f"{reason} The last attempt: {outcome.error} Events are no longer sent to it.",
            url=f"/webhooks/{webhook.pk}/",
        )


def _owners(webhook: Webhook) -> set[User]:
    maker = {webhook.created_by} if webhook.created_by.is_active else set()
    others = people_with_role(Role.PLATFORM_ADMIN) if webhook.team is None else leads_of(webhook.team)
    return maker | set(others)
