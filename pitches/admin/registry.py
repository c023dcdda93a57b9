"""Rounds in the admin: the list, and the addresses of the committee's pages."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin

from ledger.money import show
from pitches.admin import (
    asking,
    board,
    choosing,
    deciding,
    declaring,
    editor,
    life,
    minutes,
    offers,
    reading,
    rounds,
    voting,
)
from pitches.models import Round
from pitches.selectors.rounds import rounds_seated, rounds_visible_to
from teams.models import Role
from teams.selectors import has_role


@admin.register(Round)
class RoundAdmin(ModelAdmin):  # type: ignore[misc]  # the package has no types
    """The rounds that a member sits in; each opens its desk. Rounds are made and changed by services only."""

    list_display: ClassVar = ["name", "state", "cap_shown", "submissions_close_at", "voting_closes_at"]
    list_filter: ClassVar = ["state"]
    search_fields: ClassVar = ["name"]
    ordering: ClassVar = ["-submissions_close_at"]
    actions = None

    @admin.display(description="Cap", ordering="cap")
    def cap_shown(self, round_: Round) -> str:
        """Return the cap for people."""
        return show(round_.cap)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Round]:
        """Return the reader's rounds: all for the chair and auditors, for members those with a seat."""
        if has_role(request.user, Role.CHAIR, Role.AUDITOR):
            return rounds_visible_to(request.user)
        return rounds_seated(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Say whether the reader works on rounds at all."""
        return request.user.has_perm("pitches")

    def has_view_permission(self, request: HttpRequest, obj: Round | None = None) -> bool:
        """Say whether the reader may open the list, or a round's desk."""
        return request.user.has_perm("pitches" if obj is None else "pitches.desk_round", obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say whether the reader prepares rounds."""
        return request.user.has_perm("pitches.add_round")

    def has_change_permission(self, request: HttpRequest, obj: Round | None = None) -> bool:
        """Refuse: what changes a round is a step at its desk."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Round | None = None) -> bool:
        """Refuse: rounds are cancelled, never deleted."""
        return False

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to our own form."""
        return redirect("admin:pitches_round_new")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the round's desk."""
        return redirect("admin:pitches_round_desk", object_id)

    def get_urls(self) -> list[URLPattern]:
        """Add the committee's pages to the admin's own."""
        wrap = self.admin_site.admin_view
        pages = [
            path("new/", wrap(rounds.round_new), name="pitches_round_new"),
            path("<int:pk>/desk/", wrap(rounds.desk), name="pitches_round_desk"),
            path("<int:pk>/step/<slug:name>/", wrap(rounds.step), name="pitches_round_step"),
            path("<int:pk>/calendar/", wrap(rounds.schedule), name="pitches_round_schedule"),
            path("<int:pk>/questions/", wrap(asking.questions), name="pitches_round_questions"),
            path("<int:pk>/committee/", wrap(rounds.committee), name="pitches_round_committee"),
            path("<int:pk>/committee/<int:seat>/remove/", wrap(rounds.seat_remove), name="pitches_seat_remove"),
            path("<int:pk>/conflicts/<int:recusal>/", wrap(rounds.recusal_judge), name="pitches_recusal_judge"),
            path("<int:pk>/edit/", wrap(editor.round_edit), name="pitches_round_edit"),
            path("<int:pk>/clone/", wrap(life.clone), name="pitches_round_clone"),
            path("<int:pk>/assignments/", wrap(life.assignments), name="pitches_round_assignments"),
            path("<int:pk>/lane/", wrap(life.lane_audit), name="pitches_round_lane"),
            path("pitch/<int:pk>/lane/", wrap(life.lane_pitch), name="pitches_pitch_lane"),
            path("pitch/<int:pk>/remark/", wrap(reading.remark), name="pitches_pitch_remark"),
            path("pitch/<int:pk>/rule-out/", wrap(reading.rule_out), name="pitches_pitch_rule_out"),
            path("<int:pk>/declare/", wrap(declaring.declare), name="pitches_round_declare"),
            path("<int:pk>/board/", wrap(board.board), name="pitches_round_board"),
            path("<int:pk>/board/live/", wrap(board.live), name="pitches_round_board_live"),
            path("<int:pk>/board/move/", wrap(board.move), name="pitches_round_board_move"),
            path("<int:pk>/board/note/", wrap(board.note), name="pitches_round_board_note"),
            path("<int:pk>/board/prices/", wrap(board.prices), name="pitches_round_board_prices"),
            path("<int:pk>/board/compare/", wrap(board.compare), name="pitches_round_board_compare"),
            path("<int:pk>/board/curve/", wrap(board.curve), name="pitches_round_board_curve"),
            path("<int:pk>/board/curve.csv", wrap(board.curve_csv), name="pitches_round_board_csv"),
            path("<int:pk>/minutes/", wrap(minutes.minutes), name="pitches_round_minutes"),
            path("<int:pk>/minutes.csv", wrap(minutes.minutes_csv), name="pitches_round_minutes_csv"),
            path("<int:pk>/ballot/", wrap(voting.ballot), name="pitches_round_ballot"),
            path("<int:pk>/decide/", wrap(deciding.decide), name="pitches_round_decide"),
            path("<int:pk>/offers/", wrap(offers.offers), name="pitches_round_offers"),
            path("pitch/<int:pk>/offer/", wrap(offers.offer), name="pitches_pitch_offer"),
            path("pitch/<int:pk>/waitlist-raise/", wrap(offers.waitlist_raise), name="pitches_waitlist_raise"),
            path("<int:pk>/choose/", wrap(choosing.choose), name="pitches_round_choose"),
            path("<int:pk>/choosing/", wrap(choosing.choosing), name="pitches_round_choosing"),
            path("<int:pk>/adopt/", wrap(choosing.adopt), name="pitches_round_adopt"),
            path("pitch/<int:pk>/override/", wrap(choosing.override_new), name="pitches_pitch_override"),
            path("override/<int:pk>/sign/", wrap(choosing.override_sign), name="pitches_override_sign"),
            path("override/<int:pk>/withdraw/", wrap(choosing.override_withdraw), name="pitches_override_withdraw"),
            path("pitch/<int:pk>/", wrap(reading.read), name="pitches_pitch_read"),
            path("pitch/<int:pk>/take-in/", wrap(reading.take_in), name="pitches_pitch_take_in"),
            path("pitch/<int:pk>/return/", wrap(reading.give_back), name="pitches_pitch_return"),
            path("pitch/<int:pk>/recuse/", wrap(reading.recuse), name="pitches_pitch_recuse"),
            path("pitch/<int:pk>/decide/", wrap(deciding.decide_pitch), name="pitches_pitch_decide"),
        ]
        urls: list[URLPattern] = super().get_urls()
        return pages + urls
