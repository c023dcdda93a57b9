"""Results: what publication says about every pitch of an adopted choice, written once and for ever."""

from decimal import Decimal
from typing import Any

from pitches.models import PitchOption, Result, Round, Selection
from pitches.selectors.selection import adopted_selection, differing, pitch_results, usd_of
from pitches.services.selection import require_current
from teams.errors import Refused


def results_publish(round_: Round) -> list[Result]:
    """Write the results of the choice that was adopted; none where everything was decided by hand.

    Call it with the round locked, before the decisions become final. Raises Refused (no_selection, stale,
    not_adopted).
    """
    if adopted_selection(round_) is None:
        return []
    selection = require_current(round_)
    wrong = differing(selection)
    if wrong:
        names = ", ".join(pitch.title for pitch in wrong)
        raise Refused(f"Decided otherwise than the latest choice says: {names}. Adopt it again.", code="not_adopted")
    return _write(selection)


def _write(selection: Selection) -> list[Result]:
    options = {
        (option.pitch_id, option.offer): option for option in PitchOption.objects.filter(round=selection.round_id)
    }
    return Result.objects.bulk_create(
        _result(selection, said, options.get((pk, said["offer"]))) for pk, said in pitch_results(selection).items()
    )


def _result(selection: Selection, said: dict[str, Any], option: PitchOption | None) -> Result:
    return Result(
        pitch_id=said["id"],
        selection=selection,
        option=option,
        outcome=said["outcome"],
        reason_code=said["reason"],
        reason_text=said["text"],
        mean=_decimal(said["mean"]),
        median=_decimal(said["median"]),
        disagreement=_decimal(said["disagreement"]),
        z=Decimal(said["z"]),
        k=Decimal(said["k"]),
        factor=Decimal(said["factor"]),
        quality=_decimal(said["quality"]),
        value=usd_of(said["value"]),
        worth=usd_of(said["worth"]),
        cost=usd_of(said["cost"]),
        displaced_by=said["displaced_by"],
        smallest_change=said["smallest_change"],
        waitlist_place=said["waitlist_place"],
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
