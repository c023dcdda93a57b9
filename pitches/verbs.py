"""The verbs of the history of pitches, in words."""

VERBS = {
    "pitch.create": "Begun",
    "pitch.submit": "Submitted",
    "pitch.return": "Returned by the committee",
    "pitch.take_in": "Taken into review",
    "pitch.shortlist": "Put on the ballot",
    "pitch.offer": "Offer made",
    "pitch.waitlist": "Waitlisted",
    "pitch.decline": "Declined",
    "pitch.fund": "Offer accepted",
    "pitch.lapse": "Lapsed",
    "pitch.withdraw": "Withdrawn",
    "pitch.carry_over": "Carried over to another round",
    "pitch.recuse": "A member was recused",
    "pitch.conflict_judge": "A conflict was judged",
    "pitch.decide": "A tentative decision was taken",
}
