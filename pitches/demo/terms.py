"""What the open round asks beyond the form's own fields, and what the teams answer."""

from pitches.asking import DEFAULT_CHECKLIST, Asked, Check, Condition, Terms
from pitches.questions import QuestionKind, SectionCode

CONTRACT = "Contract with the customer"
TERMS = Terms(
    checklist=(*DEFAULT_CHECKLIST, Check("supplier", "No supplier sees the data who has not seen it before.")),
    questions=(
        Asked(
            "works_council",
            SectionCode.PEOPLE,
            "Does the works council know of it?",
            QuestionKind.YES_NO,
            help="It is asked wherever people's work changes.",
        ),
        Asked(
            "told_on",
            SectionCode.PEOPLE,
            "Since when?",
            QuestionKind.DATE,
            shown_when=Condition("works_council", ("yes",)),
        ),
        Asked(
            "hours",
            SectionCode.VALUE,
            "Hours a month that people spend on it today",
            QuestionKind.NUMBER,
            required=False,
        ),
        Asked(
            "legal_basis",
            SectionCode.DATA,
            "On what legal basis is personal data used?",
            QuestionKind.CHOICE,
            choices=(CONTRACT, "Consent", "Legal duty", "Another one"),
            shown_when=Condition("data_class", ("personal",)),
        ),
        Asked(
            "other_basis",
            SectionCode.DATA,
            "Which one, and who checked it?",
            QuestionKind.LONG,
            shown_when=Condition("legal_basis", ("Another one",)),
        ),
    ),
)
ANSWERS = {"works_council": "yes", "told_on": "2026-09-01", "hours": "1,330", "legal_basis": CONTRACT}
