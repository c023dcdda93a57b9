"""A month in which everything differs that can differ: forty lines, and how each ought to end.

Every scene meters calls, has the feeds tell of them, and says the outcome, the causes, and whether it is agreed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from allocations.models import Hold, HoldState, Quota
from ledger.models import Charge, KeyStanding, Outcome, ProviderKey, RateSource
from ledger.services import rate_approve, rate_propose
from ledger.services.catalogue import alias_set
from teams.models import User
from tests.budget import Till
from tests.ledger.history import Used, call_at, last_month, noon
from tests.ledger.reconciliation.bill import Bill

CALL = Used(input=1_000_000, cache_read=400_000, output=100_000)  # 1 + 0.04 + 0.30 dollars on acme-small
SMALL, BIG = "acme-small", "acme-big"


def day(number: int) -> date:
    """Return a day of the last month."""
    return last_month() + timedelta(days=number - 1)


@dataclass(frozen=True)
class Ends:
    """How a line ought to end: the day of the month, the model or key or charge, and the outcome."""

    day: int
    subject: str
    outcome: Outcome
    causes: tuple[str, ...] = ()
    is_agreed: bool = True


MATCHED = Outcome.MATCHED
EXPLAINED = Outcome.EXPLAINED


def plant(bill: Bill, owner: User) -> list[Ends]:
    """Plant the month; returns how each of its lines ought to end."""
    ends: list[Ends] = []
    for scene in SCENES:
        ends += scene(bill)
    keys_of(bill, owner)
    return ends


def keys_of(bill: Bill, owner: User) -> None:
    """Say of one of the foreign keys whose it is, and which line pays for it, before its figures come in."""
    account = bill.desk("Green").line.account
    for name, standing, who, pays in (
        ("key_tank", KeyStanding.GATEWAY, None, None),
        ("key_lab", KeyStanding.CLAIMED, owner, account),
    ):
        ProviderKey.objects.create(
            provider=bill.provider, external_id=name, standing=standing, owner=who, account=pays, first_seen_on=day(1)
        )


def alike(bill: Bill) -> list[Ends]:
    """Ten days of both models that both sides count alike, under four names, with the gateway's key and without."""
    ends = []
    alias_set(actor=bill.actor, name="acme-latest", model=bill.desk(model=BIG).model)
    for number, name in ((1, SMALL), (2, f"{SMALL}-2026-05-05"), (3, f"acme/{SMALL}"), (4, SMALL), (5, SMALL)):
        bill.used(day(number), CALL)
        bill.used(day(number), CALL, team="Green")
        both = replace(CALL, input=2_000_000, cache_read=800_000, output=200_000)
        bill.bills(day(number), both, calls=2, model=name, provider_key="key_tank" if number == 4 else "")
        ends.append(Ends(number, SMALL, MATCHED))
    for number in (1, 2, 3, 4):
        bill.used(day(number), CALL, model=BIG)
        bill.bills(day(number), CALL, model=BIG, project="p1" if number == 2 else "")
        ends.append(Ends(number, BIG, MATCHED))
    bill.used(day(5), CALL, model=BIG)
    bill.tells(day(5), CALL, model="acme-latest")
    bill.asks(day(5), "13.4", model="acme-latest")
    return [*ends, Ends(5, BIG, MATCHED)]


def rounded(bill: Bill) -> list[Ends]:
    """The provider rounds to cents."""
    for number, amount in ((6, "1.01"), (7, "1.00")):
        bill.used(day(number), Used(input=1_004_321))
        bill.tells(day(number), Used(input=1_004_321))
        bill.asks(day(number), amount)
    return [Ends(6, SMALL, Outcome.WITHIN), Ends(7, SMALL, Outcome.WITHIN)]


def priced_otherwise(bill: Bill) -> list[Ends]:
    """A price of the rate card that is not in force, a price that is in no card, and one told without its classes."""
    prices = {"input_price": Decimal(8), "output_price": Decimal(24), "cache_read_price": Decimal("0.5")}
    long_ago = noon(last_month() - timedelta(days=60))
    old = rate_propose(
        actor=bill.actor,
        model=bill.desk(model=BIG).model,
        source=RateSource.NEGOTIATED,
        valid_from=long_ago,
        **prices,  # type: ignore[arg-type]  # all of one type
    )
    rate_approve(actor=bill.actor, rate=old)
    bill.used(day(6), CALL, model=BIG)
    bill.tells(day(6), CALL, model=BIG)
    bill.asks(day(6), "10.6", model=BIG)
    bill.used(day(8), CALL)
    bill.bills(day(8), CALL, times="1.2")
    bill.used(day(7), CALL, model=BIG)
    bill.tells(day(7), CALL, model=BIG)
    bill.asks(day(7), "15", model=BIG)
    return [
        Ends(6, BIG, EXPLAINED, ("price",)),
        Ends(7, BIG, EXPLAINED, ("price",)),
        Ends(8, SMALL, EXPLAINED, ("price",)),
    ]


def cheaper(bill: Bill) -> list[Ends]:
    """A discount on every class, a batch at half the price, and a service tier at twice the price."""
    bill.used(day(8), CALL, model=BIG)
    bill.bills(day(8), CALL, model=BIG, times="0.9")
    bill.used(day(9), CALL)
    bill.bills(day(9), CALL, times="0.5", is_batch=True)
    bill.used(day(9), CALL, model=BIG)
    bill.bills(day(9), CALL, model=BIG, times="2", service_tier="priority")
    return [
        Ends(8, BIG, EXPLAINED, ("discount",)),
        Ends(9, SMALL, EXPLAINED, ("batch",)),
        Ends(9, BIG, EXPLAINED, ("tier",)),
    ]


def past_the_gateway(bill: Bill) -> list[Ends]:
    """Traffic of a key that nobody knows, of one that a line pays for, of a model that we do not have, and our own."""
    bill.used(day(10), CALL)
    bill.bills(day(10), CALL, provider_key="key_tank")
    bill.bills(day(10), Used(input=3_000_000), provider_key="key_stray", calls=7)
    bill.bills(day(11), Used(input=2_000_000), provider_key="key_lab", calls=5)
    bill.tells(day(11), Used(input=10_000), model="acme-imaging", provider_key="key_stray")
    bill.asks(day(11), "4.40", model="acme-imaging", provider_key="key_stray")
    bill.used(day(11), CALL)
    bill.bills(day(11), replace(CALL, input=1_500_000), calls=3)
    return [
        Ends(10, SMALL, MATCHED),
        Ends(10, "key_stray", EXPLAINED, ("unmetered",), is_agreed=False),
        Ends(11, "key_lab", EXPLAINED, ("unmetered",)),
        Ends(11, "key_stray", EXPLAINED, ("unmetered",), is_agreed=False),
        Ends(11, SMALL, EXPLAINED, ("unmetered",), is_agreed=False),
    ]


def guessed(bill: Bill) -> list[Ends]:
    """Calls whose usage was estimated, too little and too much, and one that was charged at its bound."""
    bill.used(day(12), CALL)
    bill.used(day(12), Used(input=100_000, output=20_000, kind="estimated"), team="Green")
    bill.bills(day(12), replace(CALL, input=1_150_000, output=126_000), calls=2)
    bill.used(day(13), Used(input=500_000, output=90_000, kind="estimated"))
    bill.bills(day(13), Used(input=500_000, output=60_000))
    bill.used(day(12), Used(input=50_000, output=80_000, kind="bound"), model=BIG)
    bill.bills(day(12), Used(input=45_000, output=5_000), model=BIG)
    cause = ("estimated",)
    return [Ends(12, SMALL, EXPLAINED, cause), Ends(13, SMALL, EXPLAINED, cause), Ends(12, BIG, EXPLAINED, cause)]


def lost(bill: Bill) -> list[Ends]:
    """A process went away with a call in flight, which the provider has answered and counts."""
    desk, moment = bill.desk(), noon(day(14), 15)
    bill.used(day(14), CALL)
    hold_lost(bill, Decimal(5), moment)
    bill.bills(day(14), replace(CALL, input=1_700_000), calls=2)
    assert Quota.objects.get(line=desk.line).held == 5
    return [Ends(14, SMALL, EXPLAINED, ("unsettled",))]


def hold_lost(bill: Bill, amount: Decimal, moment: datetime) -> None:
    """Let a process go away at a moment with a call of Blue in flight."""
    desk = bill.desk()
    till = Till(uuid4())
    till.admit(desk.key, desk.line, str(amount))
    till.die()
    bill.owner.execute(
        "UPDATE allocations_meterworker SET heartbeat_at = %s, started_at = %s WHERE id = %s",
        [moment, moment - timedelta(hours=1), till.worker],
    )
    bill.owner.commit()
    assert Hold.objects.filter(worker=till.worker, state=HoldState.UNSETTLED).exists()


def over_midnight(bill: Bill) -> list[Ends]:
    """The provider counts a call on the day after; and one is settled on the day after, which both count before."""
    bill.used(day(15), CALL)
    bill.used(day(15), Used(input=300_000, output=30_000), team="Green", hour=23)
    bill.used(day(16), CALL)
    bill.bills(day(15), CALL)
    bill.bills(day(16), replace(CALL, input=1_300_000, output=130_000), calls=2)
    sent = datetime.combine(day(17), datetime.max.time(), UTC) - timedelta(minutes=1)
    call_at(bill.owner, bill.desk(), sent + timedelta(minutes=5), CALL, sent_at=sent)
    bill.bills(day(17), CALL)
    cause = ("midnight",)
    return [Ends(15, SMALL, EXPLAINED, cause), Ends(16, SMALL, EXPLAINED, cause), Ends(17, SMALL, MATCHED)]


def no_tokens(bill: Bill) -> list[Ends]:
    """What the provider charges or gives besides tokens."""
    for number, charge, amount in ((18, Charge.CREDIT, "-25"), (19, Charge.MINIMUM, "40"), (20, Charge.TOOL, "1.30")):
        bill.asks(day(number), amount, model="", charge=charge, detail=f"{charge} of the month")
    bill.asks(day(21), "3", model="", charge=Charge.OTHER, detail="Something else")
    waits = {"is_agreed": False}
    return [
        Ends(18, "credit", EXPLAINED, ("credit",), **waits),
        Ends(19, "minimum", EXPLAINED, ("minimum",), **waits),
        Ends(20, "tool", EXPLAINED, ("tool",), **waits),
        Ends(21, "other", Outcome.OPEN, (), **waits),
    ]


def counted_otherwise(bill: Bill) -> list[Ends]:
    """Cached input that the provider counts as fresh."""
    bill.used(day(18), CALL)
    bill.bills(day(18), replace(CALL, input=1_100_000, cache_read=300_000))
    return [Ends(18, SMALL, EXPLAINED, ("cache",))]


def nobody_knows(bill: Bill) -> list[Ends]:
    """Fewer calls than were metered, none at all, and a price out of all proportion: no rule may explain these."""
    bill.used(day(19), CALL)
    bill.used(day(19), CALL, hour=14)
    bill.bills(day(19), CALL)
    bill.used(day(20), CALL)
    bill.used(day(21), CALL)
    bill.bills(day(21), CALL, times="10")
    bill.used(day(22), CALL)
    bill.bills(day(22), replace(CALL, output=150_000))
    return [Ends(number, SMALL, Outcome.OPEN, (), is_agreed=False) for number in (19, 20, 21, 22)]


def to_come(bill: Bill) -> list[Ends]:
    """The last day, of which the provider says that more is to come: less of one model, nothing of the other."""
    bill.used(day(28), CALL)
    bill.used(day(28), CALL, hour=14)
    bill.bills(day(28), CALL)
    bill.used(day(28), CALL, model=BIG)
    late = {"outcome": Outcome.WAITING, "causes": ("late",), "is_agreed": False}
    return [Ends(28, SMALL, **late), Ends(28, BIG, **late)]  # type: ignore[arg-type]  # told apart by name


SCENES: tuple[Callable[[Bill], list[Ends]], ...] = (
    alike,
    rounded,
    priced_otherwise,
    cheaper,
    past_the_gateway,
    guessed,
    lost,
    over_midnight,
    no_tokens,
    counted_otherwise,
    nobody_knows,
    to_come,
)
