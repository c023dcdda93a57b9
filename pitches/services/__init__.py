"""Every write of rounds, pitches, the committee's work and offers."""

from pitches.services.asking import checklist_set, questions_set, terms_copy, terms_set
from pitches.services.attachments import attachment_add, attachment_remove
from pitches.services.ballots import ballot_cast
from pitches.services.ballots_verify import ballots_verify
from pitches.services.board import board_move, board_note
from pitches.services.choice_runs import choice_ask, choices_make_due
from pitches.services.claims import Outturn, claim_resolve
from pitches.services.conflicts import recusal_dismiss, recusal_waive, seat_remove, seat_set
from pitches.services.copying import pitch_copy
from pitches.services.counters import (
    counter_accept,
    counter_answer,
    counter_make,
    counter_refuse,
    counter_withdraw,
)
from pitches.services.decisions import decision_set, round_publish
from pitches.services.declarations import ConflictAnswer, declaration_make, recusal_declare
from pitches.services.discussion import remark_add
from pitches.services.fast_lane import lane_close, lane_decide
from pitches.services.offers import offer_accept, offer_decline, offers_expire
from pitches.services.overrides import override_propose, override_sign, override_withdraw
from pitches.services.peeks import pitch_peek
from pitches.services.pitches import (
    DraftConflict,
    draft_save,
    pitch_carry_over,
    pitch_create,
    pitch_return,
    pitch_submit,
    pitch_take_in,
    pitch_withdraw,
)
from pitches.services.reminders import reminders_send
from pitches.services.reviews import Mark, review_submit
from pitches.services.round_plan import round_clone, round_edit, round_recur, rounds_prepare_due
from pitches.services.rounds import (
    Calendar,
    Rules,
    review_start,
    round_cancel,
    round_create,
    round_open,
    round_reschedule,
    round_settle,
    rounds_close_due,
    voting_close,
    voting_open,
)
from pitches.services.screening import pitch_rule_out, screening_record
from pitches.services.selection import selection_adopt, selection_replay, selection_run
from pitches.services.thread import question_answer, question_ask
from pitches.services.waitlist import waitlist_promote, waitlist_raise, waitlists_promote_due

__all__ = [
    "Calendar",
    "ConflictAnswer",
    "DraftConflict",
    "Mark",
    "Outturn",
    "Rules",
    "attachment_add",
    "attachment_remove",
    "ballot_cast",
    "ballots_verify",
    "board_move",
    "board_note",
    "checklist_set",
    "choice_ask",
    "choices_make_due",
    "claim_resolve",
    "counter_accept",
    "counter_answer",
    "counter_make",
    "counter_refuse",
    "counter_withdraw",
    "decision_set",
    "declaration_make",
    "draft_save",
    "lane_close",
    "lane_decide",
    "offer_accept",
    "offer_decline",
    "offers_expire",
    "override_propose",
    "override_sign",
    "override_withdraw",
    "pitch_carry_over",
    "pitch_copy",
    "pitch_create",
    "pitch_peek",
    "pitch_return",
    "pitch_rule_out",
    "pitch_submit",
    "pitch_take_in",
    "pitch_withdraw",
    "question_answer",
    "question_ask",
    "questions_set",
    "recusal_declare",
    "recusal_dismiss",
    "recusal_waive",
    "remark_add",
    "reminders_send",
    "review_start",
    "review_submit",
    "round_cancel",
    "round_clone",
    "round_create",
    "round_edit",
    "round_open",
    "round_publish",
    "round_recur",
    "round_reschedule",
    "round_settle",
    "rounds_close_due",
    "rounds_prepare_due",
    "screening_record",
    "seat_remove",
    "seat_set",
    "selection_adopt",
    "selection_replay",
    "selection_run",
    "terms_copy",
    "terms_set",
    "voting_close",
    "voting_open",
    "waitlist_promote",
    "waitlist_raise",
    "waitlists_promote_due",
]
