"""How states, deadlines and differences look."""

from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from zoneinfo import ZoneInfo

from django import template
from django.db.models import Model
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ledger.money import plain, show
from pitches.board.words import whole_dollars
from pitches.diff import GONE, NEW, Piece
from pitches.models import Counter, Offer, Pitch, Round
from pitches.quotes import in_cents
from pitches.selectors.similar import FOUND
from pitches.transitions import CounterState, OfferState, PitchState, RoundState

register = template.Library()

WHOLE_DOLLARS = Decimal(100)

CHIPS: dict[type[Model], dict[str, str]] = {
    Round: {RoundState.OPEN: "ok"},
    Pitch: {
        PitchState.RETURNED: "wait",
        PitchState.OFFERED: "wait",
        PitchState.WAITLISTED: "wait",
        PitchState.DEFERRED: "wait",
        PitchState.FUNDED: "ok",
        PitchState.DECLINED: "no",
        PitchState.LAPSED: "no",
    },
    Offer: {
        OfferState.OPEN: "wait",
        OfferState.ACCEPTED: "ok",
        OfferState.DECLINED: "no",
        OfferState.EXPIRED: "no",
    },
    Counter: {
        CounterState.OPEN: "wait",
        CounterState.ACCEPTED: "ok",
        CounterState.REFUSED: "no",
        CounterState.LAPSED: "no",
    },
}


@register.simple_tag
def state(thing: Round | Pitch | Offer | Counter) -> SafeString:
    """Write the state of a round, pitch, offer or counter-offer as a chip."""
    look = CHIPS[type(thing)].get(thing.state, "")
    return format_html('<span class="chip {}">{}</span>', look, thing.get_state_display())


@register.simple_tag
def deadline(moment: datetime, zone: str) -> SafeString:
    """Write a time in a named zone, with the zone: "4 Dec 2026, 17:00 Europe/Berlin"."""
    local = moment.astimezone(ZoneInfo(zone))
    return format_html(
        '<time class="nowrap" datetime="{}">{}</time> <span class="unit">{}</span>',
        moment.isoformat(),
        local.strftime("%-d %b %Y, %H:%M"),
        zone,
    )


@register.simple_tag
def clocks(moment: datetime, zone: str) -> SafeString:
    """Write a time by the clocks of a named zone and by UTC: "Fri 4 Dec 2026, 17:00 CET Europe/Berlin · 16:00 UTC".

    Where UTC has another day than the zone, its day is written too.
    """
    local, plain_utc = moment.astimezone(ZoneInfo(zone)), moment.astimezone(UTC)
    same_day = local.date() == plain_utc.date()
    beside = plain_utc.strftime("%H:%M UTC" if same_day else "%-d %b, %H:%M UTC")
    return format_html(
        '<time class="nowrap" datetime="{}">{}</time> <span class="unit">{}{}</span>',
        moment.isoformat(),
        local.strftime("%a %-d %b %Y, %H:%M"),
        zone if local.tzname() == zone else f"{local.tzname()} {zone}",
        "" if zone == "UTC" else f" · {beside}",
    )


@register.filter
def piece(value: Piece) -> str | SafeString:
    """Write a run of words as it stayed, went, came or was found; elements mark it, not the colour alone."""
    if value.kind == GONE:
        return format_html("<del>{}</del>", value.text)
    if value.kind == NEW:
        return format_html("<ins>{}</ins>", value.text)
    if value.kind == FOUND:
        return format_html("<mark>{}</mark>", value.text)
    return value.text


@register.filter
def get(mapping: dict[object, object], key: object) -> object:
    """Return what a mapping holds for a key, nothing when it holds nothing."""
    return mapping.get(key)


@register.filter
def cents(value: Decimal | None) -> str | SafeString:
    """Write an estimate up to the cent, with every digit on hover; an em dash for none."""
    if value is None:
        return "—"
    return format_html('<data value="{}" title="{} USD">{}</data>', plain(value), plain(value), show(in_cents(value)))


@register.filter
def estimate(value: Decimal) -> SafeString:
    """Write an estimate with as many digits as it deserves: whole dollars from a hundred on; exact on hover."""
    rounded = value.quantize(Decimal(1), ROUND_CEILING) if value >= WHOLE_DOLLARS else in_cents(value)
    text = f"${rounded:,}" if value >= WHOLE_DOLLARS else show(rounded)
    return format_html('<data value="{}" title="{} USD">{}</data>', plain(value), plain(value), text)


@register.filter
def dollars(value: Decimal | None) -> str | SafeString:
    """Write an amount in whole dollars, below a hundred to the cent, with every digit on hover; an em dash for none."""
    if value is None:
        return "—"
    return format_html('<data value="{}" title="{} USD">{}</data>', plain(value), plain(value), whole_dollars(value))


@register.filter
def percent(share: Decimal) -> str:
    """Write a share between 0 and 1 as whole percent."""
    return f"{share * 100:.0f} %"


@register.filter
def percent_exact(share: Decimal) -> str:
    """Write a share between 0 and 1 as percent, with the decimal places that it has."""
    return f"{(share * 100).normalize():f} %"


@register.filter
def count(value: int) -> str:
    """Write a whole number with its thousands set off."""
    return f"{value:,}"
