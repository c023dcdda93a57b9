"""Getting an outside call admitted, once for each id that a key's callers give."""

from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from allocations.gateway.admission import Desk, admit
from allocations.gateway.entries import KeyEntry
from allocations.models import OutsideCall
from allocations.outside.asking import Wanted
from allocations.outside.meter import OutsideMeter
from allocations.outside.reading import SHELF, book_now, driven
from ledger.ids import uuid7
from teams.errors import WrongState

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))"


@transaction.atomic
def outside_call_admit(*, key: KeyEntry, wanted: Wanted) -> OutsideCall:
    """Hold the worst case of a call, or return the call that this id of the key was given to before.

    Raises Refusal, or WrongState (id_reused) when the id was given to another call.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOCK, [wanted.caller_id, key.id])
    call = OutsideCall.objects.filter(key=key.id, caller_id=wanted.caller_id).first()
    if call is None:
        return _admitted(key, wanted)
    if bytes(call.content) != wanted.content:
        raise WrongState("This id was given to another call of this key.", code="id_reused", field="id")
    return call


def _admitted(key: KeyEntry, wanted: Wanted) -> OutsideCall:
    now, book = datetime.now(UTC), book_now()
    expires_at = now + timedelta(seconds=wanted.seconds)
    meter, ask = OutsideMeter(uuid7(now), expires_at), wanted.ask(book)
    desk = Desk(meter, SHELF, book, key, now, settings.TANK_URL)
    admitted = driven(admit(desk, wanted.lane, ask))
    model, hold = admitted.option.model, admitted.hold
    return OutsideCall.objects.create(
        key_id=key.id,
        caller_id=wanted.caller_id,
        content=wanted.content,
        request_id=hold.request_id,
        quota_ids=hold.quota_ids,
        bound=hold.bound,
        tokens=hold.tokens,
        remaining=hold.remaining,
        model_id=model.id,
        model_asked=ask.model,
        backups=[backup.model.name for backup in admitted.option.backups],
        served_because=admitted.because,
        fell_from=admitted.fell_from,
        demand=ask.demand_of(model)._asdict(),
        output_cap=admitted.cap,
        surface=wanted.surface,
        streamed=ask.is_stream,
        tags=wanted.tags,
        sent_at=now,
        expires_at=expires_at,
    )
