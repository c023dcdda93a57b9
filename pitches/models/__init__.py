"""Rounds, pitches, reviews, ballots, decisions and offers: data and constraints.

What must hold across rows is kept by `pitches/sql/pitches.sql`.
"""

from pitches.models.asking import ChecklistItem, RoundQuestion
from pitches.models.board import BoardForce, BoardMove, BoardState, MoveKind
from pitches.models.choice import (
    OPEN_RUNS,
    Adoption,
    ChoiceRun,
    Force,
    OptionLine,
    OptionOrigin,
    Override,
    OverrideCategory,
    PitchOption,
    ReasonCode,
    ResolvedClaim,
    Result,
    RunState,
    Selection,
    SelectionKind,
)
from pitches.models.committee import (
    Ballot,
    Choice,
    Expertise,
    Recusal,
    RecusalKind,
    RecusalState,
    RecusalType,
    Review,
    ReviewScore,
)
from pitches.models.counter import Counter, CounterLine, CounterSide
from pitches.models.decision import Decision, DecisionLine, Offer, OfferLine, Outcome
from pitches.models.declaration import Declaration, DeclarationAnswer
from pitches.models.folder import Attachment, MessageKind, RevisionAttachment, ThreadMessage
from pitches.models.parts import CoApplicant, DraftApplicant, PitchLink, RevisionQuality
from pitches.models.pitch import LineItem, Milestone, Pitch, PitchRevision, QuoteLine
from pitches.models.process import Aspect, Assignment, Finding, Peek, Remark, Screening
from pitches.models.round import CommitteeSeat, Criterion, Round, RoundKind
from pitches.models.sealed import BallotKey, BallotReceipt

__all__ = [
    "OPEN_RUNS",
    "Adoption",
    "Aspect",
    "Assignment",
    "Attachment",
    "Ballot",
    "BallotKey",
    "BallotReceipt",
    "BoardForce",
    "BoardMove",
    "BoardState",
    "ChecklistItem",
    "Choice",
    "ChoiceRun",
    "CoApplicant",
    "CommitteeSeat",
    "Counter",
    "CounterLine",
    "CounterSide",
    "Criterion",
    "Decision",
    "DecisionLine",
    "Declaration",
    "DeclarationAnswer",
    "DraftApplicant",
    "Expertise",
    "Finding",
    "Force",
    "LineItem",
    "MessageKind",
    "Milestone",
    "MoveKind",
    "Offer",
    "OfferLine",
    "OptionLine",
    "OptionOrigin",
    "Outcome",
    "Override",
    "OverrideCategory",
    "Peek",
    "Pitch",
    "PitchLink",
    "PitchOption",
    "PitchRevision",
    "QuoteLine",
    "ReasonCode",
    "Recusal",
    "RecusalKind",
    "RecusalState",
    "RecusalType",
    "Remark",
    "ResolvedClaim",
    "Result",
    "Review",
    "ReviewScore",
    "RevisionAttachment",
    "RevisionQuality",
    "Round",
    "RoundKind",
    "RoundQuestion",
    "RunState",
    "Screening",
    "Selection",
    "SelectionKind",
    "ThreadMessage",
]
