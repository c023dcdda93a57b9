"""Ending an outside call: by the gateway's own rules of what is charged, in time or late, once."""

from dataclasses import dataclass, field

from allocations.gateway.admission import Admitted
from allocations.gateway.dialect import Ask, Reading
from allocations.gateway.entries import Book, KeyEntry, ModelEntry
from allocations.gateway.refusal import bad_request
from allocations.gateway.routing import Option
from allocations.gateway.settlement import Settlement
from allocations.metering.bounds import Demand
from allocations.metering.types import Hold, Tokens
from allocations.models import Outcome, OutsideCall
from allocations.outside.asking import OutsideLane, Tongue
from allocations.outside.meter import OutsideMeter, already_ended
from allocations.outside.reading import book_at, driven
from ledger.models import SettleKind, UsageRecord


@dataclass(frozen=True, slots=True)
class Said:
    """What a caller says of a call that ended."""

    kind: SettleKind
    tokens: Tokens | None
    """None: nothing that could be read, so it is charged at its bound, or for an estimate as input at its bound."""
    content: bytes
    """SHA-256 of all of it but the id."""
    output_bytes: int = 0
    """For an estimate: the bytes of output that were seen."""
    model: str = ""
    """The backup that answered; empty: the model that was admitted."""
    model_returned: str = ""
    service_tier: str = ""
    upstream_id: str = ""
    streamed: bool | None = None
    tags: dict[str, str] = field(default_factory=dict)


def outside_call_settle(*, key: KeyEntry, call: OutsideCall, said: Said) -> UsageRecord:
    """Charge a call, and return its usage record; said again, the same record.

    Raises Refusal for a model that the hold does not cover, WrongState (already_ended) when it ended otherwise.
    """
    if call.ended_at is None:
        _settle(key, call, said)
    elif (call.outcome, bytes(call.ending or b"")) != (Outcome.SETTLED, said.content):
        raise already_ended()
    return UsageRecord.objects.select_related("model").get(request_id=call.request_id)


def outside_call_void(*, call: OutsideCall, content: bytes) -> None:
    """Give the hold of a call back that cost nothing. Raises WrongState (already_ended) when it was settled."""
    driven(OutsideMeter(call.request_id, call.expires_at, content).void(_hold(call)))


def _settle(key: KeyEntry, call: OutsideCall, said: Said) -> None:
    meter = OutsideMeter(call.request_id, call.expires_at, said.content)
    book = book_at(call.sent_at)
    lane = OutsideLane(call.surface, Tongue(""))
    ask = Ask(call.model_asked, call.streamed, _demand(call))
    settlement = Settlement(meter, lane, ask, _admitted(key, call, book), call.tags | said.tags)
    settlement.is_streamed = call.streamed if said.streamed is None else said.streamed
    if said.model not in ("", call.model.name):
        settlement.serve(_backup(key, call, book, said.model), "backup")
    settlement.upstream_id = said.upstream_id
    reading = Reading(said.tokens, said.model_returned, said.service_tier)
    if said.kind is SettleKind.ESTIMATED:
        driven(settlement.part(reading, said.output_bytes))
    else:
        driven(settlement.whole(reading))


def _admitted(key: KeyEntry, call: OutsideCall, book: Book) -> Admitted:
    option = _option(key, call, book.models[call.model.name])
    return Admitted(key, book, option, _hold(call), call.output_cap, None, call.fell_from, call.served_because)


def _option(key: KeyEntry, call: OutsideCall, model: ModelEntry) -> Option:
    line = next(line for line in key.allocation.lines.values() if line.quota_id == call.quota_ids[0])
    rate = model.rate_at(call.sent_at)
    if rate is None:
        raise LookupError(f"{model.name} had no rate at {call.sent_at}, although a call was admitted then")
    return Option(model, rate, line)


def _backup(key: KeyEntry, call: OutsideCall, book: Book, name: str) -> Option:
    if name not in call.backups or name not in book.models:
        raise bad_request(f"The hold of this call covers {', '.join([call.model.name, *call.backups])}.", "model")
    return _option(key, call, book.models[name])


def _hold(call: OutsideCall) -> Hold:
    chain = tuple(call.quota_ids)
    return Hold(
        call.request_id, call.request_id, chain, call.bound, call.tokens, call.sent_at, remaining=call.remaining
    )


def _demand(call: OutsideCall) -> Demand:
    return Demand(**{**call.demand, "input_classes": tuple(call.demand["input_classes"])})
