"""Why a pitch got what it got, in sentences that a stranger understands. No sentence names another pitch.

A member who is recused from one pitch reads the reasons of the others; who displaced whom is listed apart, where it
can be left out for them.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

from ledger.money import show
from pitches.choosing import Inputs, Judged, Offer

Change = Mapping[str, Any]
TIMES = " \N{MULTIPLICATION SIGN} "


def dollars(cents: int) -> str:
    """Write cents as dollars."""
    return show(Decimal(cents) / 100)


def ratio(value: Fraction) -> str:
    """Write a worth per dollar with two places."""
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return f"{exact.quantize(Decimal('0.01'), ROUND_HALF_UP):,f}"


def formula(judged: Judged, offer: Offer) -> str:
    """Write the worth of an offer as its formula with the numbers put in."""
    parts = (
        f"{dollars(offer.value)} claimed",
        f"{judged.factor} for what the team's past claims delivered",
        f"{offer.quality} quality",
        f"{judged.standing.k} conviction of the committee",
    )
    return f"{TIMES.join(parts)} = {dollars(offer.worth)}"


def sentence(code: str, inputs: Inputs, judged: Judged, offer: Offer | None, change: Change | None, place: int) -> str:
    """Return the reason for a code; `offer` is what was funded or would be next, `place` that on the waitlist."""
    values: dict[str, Any] = _values(inputs, judged, offer)
    text = SENTENCES[code].format(**values)
    if place:
        text = f"On the waitlist, place {place}. {text}"
    return f"{text} {change_words(change)}".strip()


def change_words(change: Change | None) -> str:
    """Return the smallest change that would have funded a pitch, as a sentence; empty when there is none."""
    if not change:
        return ""
    cheaper = f", or had it cost no more than {dollars(change['fits_at'])}" if change["fits_at"] else ""
    return (
        f"“{change['label']}” would have been funded had it been worth {dollars(change['worth_raise'])} more{cheaper}."
    )


SENTENCES = {
    "selected": (
        "Funded: “{label}”. It is worth {worth} for {cost}, which is {ratio} for each dollar, and no other set of "
        "pitches that fits the round is worth more together."
    ),
    "forced_in": (
        "Funded by an override that two members signed: “{label}” for {cost}, worth {worth}. Its reason and its price "
        "are published with it."
    ),
    "forced_out": ("Left out by an override that two members signed. Its reason and its price are published with it."),
    "below_hurdle": (
        "Its best offer, “{label}”, is worth {worth} for {cost}: {ratio} for each dollar, where the round asks for at "
        "least {hurdle}."
    ),
    "displaced": (
        "Its best offer, “{label}”, is worth {worth} for {cost}, {ratio} for each dollar, which is above the hurdle; "
        "but the same money is worth more with others."
    ),
    "cap": "None of its offers fits into the {spendable} that the round can award; the best one costs {cost}.",
    "team_cap": (
        "It would take its team above the {team_limit} that one team can get in this round; the offer that comes "
        "nearest costs {cost}."
    ),
    "tier_cap": "It would take a tier above what the round can award on it; the offer that comes nearest costs {cost}.",
    "incompatible": "It cannot run together with a pitch that is worth more and was funded.",
    "requires": "It needs another pitch first, and that one was not funded.",
    "no_quorum": (
        "Not judged: it has {scores} of the {quorum} scores that it needs, and {votes} of {eligible} members without "
        "a conflict voted, where more than half must. So it is deferred, not declined, and can go to the next round."
    ),
    "no_offer": "There is nothing to award: at target it costs nothing.",
}


def _values(inputs: Inputs, judged: Judged, offer: Offer | None) -> dict[str, Any]:
    row = next(row for row in inputs.pitches if row["id"] == judged.pk)
    problem = inputs.problem()
    hurdle = Decimal(inputs.round["hurdle"]).normalize()
    return {
        "label": offer.label if offer else "",
        "worth": dollars(offer.worth) if offer else "",
        "cost": dollars(offer.cost) if offer else "",
        "ratio": ratio(offer.per_dollar) if offer else "",
        "hurdle": f"{hurdle:f}",
        "spendable": dollars(problem.spendable),
        "team_limit": dollars(problem.team_limit or 0),
        "scores": judged.standing.count,
        "quorum": inputs.round["quorum"],
        "votes": row["votes"],
        "eligible": len(row["eligible"]),
    }
