"""Every endpoint of the committee, the choice and the form: its address, method, scope, and a body that is well formed.

`{round}`, `{pitch}`, `{seat}`, `{recusal}` and `{override}` stand for ids.
"""

from dataclasses import dataclass
from typing import Any

from django.test import Client

from teams.models import Scope, User
from teams.token_services import token_create

READ, WRITE = Scope.COMMITTEE_READ, Scope.COMMITTEE_WRITE
REASON = {"reason": "Because it is time."}
LONG = "The regulator asks for this one by name; the letter is in the folder of the board."
LATER = {
    "submissions_close_at": "2099-01-10T18:00:00Z",
    "reviews_close_at": "2099-01-17T18:00:00Z",
    "voting_closes_at": "2099-01-24T18:00:00Z",
    "answers_due_at": "2099-01-31T18:00:00Z",
}


@dataclass(frozen=True)
class Endpoint:
    """An address below /api/v1/ with one method."""

    name: str
    path: str
    scope: Scope
    body: dict[str, Any] | None = None
    method: str = "post"

    def call(self, client: Client, place: dict[str, int], **headers: str) -> Any:
        """Ask it about the things whose ids `place` names."""
        url = f"/api/v1/{self.path.format(**place)}"
        if self.method == "get":
            return client.get(url, headers=headers)
        return getattr(client, self.method)(url, self.body or {}, content_type="application/json", headers=headers)


def _get(name: str, path: str, scope: Scope = READ) -> Endpoint:
    return Endpoint(name, path, scope, None, "get")


def _put(name: str, path: str, body: dict[str, Any], scope: Scope = WRITE) -> Endpoint:
    return Endpoint(name, path, scope, body, "put")


def _post(name: str, path: str, body: dict[str, Any] | None = None, scope: Scope = WRITE) -> Endpoint:
    return Endpoint(name, path, scope, body)


COMMITTEE = [
    _post("api_step", "rounds/{round}/steps/cancel/", REASON),
    _put("api_schedule", "rounds/{round}/calendar/", {**LATER, **REASON}),
    _get("api_committee", "rounds/{round}/committee/"),
    _post("api_committee", "rounds/{round}/committee/", {"member": "dee@acorn.example"}),
    _post("api_seat_remove", "rounds/{round}/committee/{seat}/remove/", REASON),
    _get("api_declaration", "rounds/{round}/declaration/"),
    _post("api_declaration", "rounds/{round}/declaration/", {"answers": []}),
    _get("api_conflicts", "rounds/{round}/conflicts/"),
    _post("api_conflict_judge", "rounds/{round}/conflicts/{recusal}/judge/", {"judgement": "dismiss", "plan": LONG}),
    _get("api_ballots", "rounds/{round}/ballots/"),
    _get("api_receipts", "rounds/{round}/receipts/"),
]
OF_PITCH = [
    _post("api_conflict", "pitches/{pitch}/conflicts/", {"conflict_type": "other", **REASON}),
    _post("api_take_in", "pitches/{pitch}/take-in/"),
    _post("api_return", "pitches/{pitch}/return/", {"note": "Please change all of it."}),
    _get("api_reviews", "pitches/{pitch}/reviews/"),
    _post("api_reviews", "pitches/{pitch}/reviews/", {"revision": 1, "marks": [], "expertise": 1}),
    _post("api_ballot", "pitches/{pitch}/ballot/", {"choice": "no", "score": 1}),
]
CHOICE = [
    _get("api_options", "rounds/{round}/options/"),
    _get("api_choice", "rounds/{round}/choice/"),
    _post("api_choice", "rounds/{round}/choice/"),
    _get("api_choice_run", "rounds/{round}/choice/runs/1/"),
    _post("api_adopt", "rounds/{round}/choice/adopt/"),
    _get("api_overrides", "rounds/{round}/overrides/"),
    _get("api_override_room", "rounds/{round}/override-room/"),
    _get("api_waitlist", "rounds/{round}/waitlist/"),
    _get("api_results", "rounds/{round}/results/", Scope.PITCHES_READ),
    _get("api_claims", "claims/"),
    _post("api_claims", "claims/"),
    _get("api_factors", "claims/factors/"),
]
CHOICE_OF_PITCH = [
    _post("api_override", "pitches/{pitch}/overrides/", {"force": "in", "category": "law", "reason": LONG}),
    _post("api_override_sign", "overrides/{override}/sign/"),
    _post("api_override_withdraw", "overrides/{override}/withdraw/", REASON),
    _get("api_decision", "pitches/{pitch}/decision/"),
    _put("api_decision", "pitches/{pitch}/decision/", {"outcome": "decline", **REASON}),
    _post("api_waitlist_raise", "pitches/{pitch}/waitlist-raise/"),
]
FORM = [
    _get("api_draft", "pitches/{pitch}/draft/", Scope.PITCHES_READ),
    _put("api_draft", "pitches/{pitch}/draft/", {"version": 0, "typed": {}}, Scope.PITCHES_WRITE),
    _post("api_items_import", "pitches/{pitch}/items/import/", {"text": "x", "version": 0}, Scope.PITCHES_WRITE),
    _post("api_estimate", "pitches/{pitch}/items/estimate/", {"prompt": "a", "answer": "b"}, Scope.PITCHES_WRITE),
    _post("api_quote", "pitches/{pitch}/quote/", {}, Scope.PITCHES_WRITE),
    _post("api_withdraw", "pitches/{pitch}/withdraw/", REASON, Scope.PITCHES_WRITE),
    _post("api_carry_over", "pitches/{pitch}/carry-over/", {"round": 1}, Scope.PITCHES_WRITE),
]
FORM_OF_ROUND = [
    _get("api_terms", "rounds/{round}/questions/", Scope.PITCHES_READ),
    _put("api_terms", "rounds/{round}/questions/", {"questions": [], "checklist": []}, Scope.PITCHES_WRITE),
    _post("api_pitches", "pitches/", {"round": 1, "team": "claims", "title": "x"}, Scope.PITCHES_WRITE),
]


def status_of(answer: Any) -> tuple[int, str]:
    """Return the status of an answer and the code of its error, blank without one."""
    return answer.status_code, "" if answer.status_code < 400 else answer.json()["error"]["code"]


def without_scope(user: User, place: dict[str, int], found: list[Endpoint]) -> set[tuple[int, str]]:
    """Return what endpoints answer to tokens that have every scope but the one that each needs."""
    secrets = {
        scope: token_create(actor=user, name=f"all but {scope}", scopes=[one for one in Scope if one != scope], days=1)[
            1
        ]
        for scope in sorted({endpoint.scope for endpoint in found})
    }
    return {
        status_of(endpoint.call(Client(), place, Authorization=f"Bearer {secrets[endpoint.scope]}"))
        for endpoint in found
    }


def answers(client: Client, place: dict[str, int], found: list[Endpoint]) -> dict[str, tuple[int, str]]:
    """Return what somebody is told at each endpoint, by method and name."""
    return {f"{one.method} {one.name}": status_of(one.call(client, place)) for one in found}
