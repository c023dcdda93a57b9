"""A new pitch out of an earlier one: copied, or continued with what came of it."""

from collections.abc import Mapping

from django.db import transaction

from pitches.models import Pitch, Round
from pitches.services.attachments import attachments_take_along
from pitches.services.pitches import draft_save, pitch_create
from teams.access import require
from teams.errors import Refused
from teams.models import Team, User


@transaction.atomic
def pitch_copy(
    *,
    actor: User,
    source: Pitch,
    typed: Mapping[str, str],
    round_: Round,
    team: Team,
    title: str = "",
    is_continuation: bool = False,
) -> Pitch:
    """Begin a draft with what an earlier pitch says, its files included; `typed` is that pitch as it was typed.

    A continuation names the earlier pitch for ever (trigger), so that readers see what came of it. Without a title
    the draft has the earlier one's. Raises NotAllowed, WrongState, Refused (title_missing, draft_too_long,
    never_submitted).
    """
    require(actor, "pitches.change_pitch", source, message="Only people of its team use an earlier pitch.")
    if is_continuation and source.current_id is None:
        raise Refused("What was never submitted cannot be continued; copy it.", code="never_submitted", field="source")
    wanted = title.strip() or typed.get("title", "").strip() or source.title
    continues = source if is_continuation else None
    pitch = pitch_create(actor=actor, round_=round_, team=team, title=wanted, continues=continues, copied_from=source)
    attachments_take_along(actor=actor, source=source, pitch=pitch)
    return draft_save(actor=actor, pitch=pitch, typed={**typed, "title": wanted}, version=pitch.draft_version)
