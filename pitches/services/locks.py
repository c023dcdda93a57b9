"""Row locks, always in the same order: the round, then its pitch, then what hangs on the pitch."""

from pitches.models import Counter, Offer, Pitch, Round


def round_locked(round_: Round) -> Round:
    """Lock a round's row and return it as it stands now."""
    return Round.objects.select_for_update(no_key=True).get(pk=round_.pk)


def pitch_locked(pitch: Pitch) -> Pitch:
    """Lock the round of a pitch, then the pitch, and return it as it stands now."""
    round_locked(Round(pk=pitch.round_id))
    rows = Pitch.objects.select_for_update(of=("self",)).select_related("round", "team__business_unit", "owner")
    return rows.get(pk=pitch.pk)


def offer_locked(offer: Offer) -> Offer:
    """Lock the round and pitch of an offer, then the offer, and return it as it stands now."""
    pitch = pitch_locked(Pitch.objects.get(pk=offer.pitch_id))
    locked = Offer.objects.select_for_update(of=("self",)).select_related("revision").get(pk=offer.pk)
    locked.pitch = pitch
    return locked


def counter_locked(counter: Counter) -> Counter:
    """Lock the round, pitch and offer of a counter-offer, then the counter-offer, and return it as it stands now."""
    offer = offer_locked(Offer.objects.get(pk=counter.offer_id))
    locked = Counter.objects.select_for_update(of=("self",)).get(pk=counter.pk)
    locked.offer = offer
    return locked
