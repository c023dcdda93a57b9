"""What a pitch is asked, as choices: kinds of value, evidence, data classes, latency, and the compliance checklist.

A leaf: models, forms and pages read it.
"""

from dataclasses import dataclass

from django.db import models


class ValueKind(models.TextChoices):
    """What the company gets."""

    CAPABILITY = "capability", "New capability"
    REVENUE = "revenue", "Revenue"
    SAVING = "saving", "Saving"
    RISK = "risk", "Less risk"


class Evidence(models.TextChoices):
    """What the figures rest on."""

    MEASURED = "measured", "Measured: we ran it on our own cases"
    ANALOGUE = "analogue", "Analogue: something close to it was measured"
    GUESS = "guess", "Guess: nobody has measured it yet"

    @property
    def word(self) -> str:
        """Return the label's first word, for narrow places."""
        return str(self.label).partition(":")[0]


class DataClass(models.TextChoices):
    """The most sensitive data that prompts will carry."""

    PUBLIC = "public", "Public"
    INTERNAL = "internal", "Internal"
    CONFIDENTIAL = "confidential", "Confidential"
    PERSONAL = "personal", "Personal data"


class QuestionKind(models.TextChoices):
    """What a round's own question takes as an answer."""

    TEXT = "text", "A line of text"
    LONG = "long", "A longer text"
    CHOICE = "choice", "One of several choices"
    YES_NO = "yes_no", "Yes or no"
    NUMBER = "number", "A number"
    DATE = "date", "A date"


class SectionCode(models.TextChoices):
    """The sections of the pitch form."""

    CASE = "case", "Use case"
    PEOPLE = "people", "People"
    VALUE = "value", "Value"
    WORK = "work", "Work"
    PROOF = "proof", "Proof"
    DATA = "data", "Data"


class LinkKind(models.TextChoices):
    """How a pitch depends on another one of its round."""

    INCOMPATIBLE = "incompatible", "Cannot run beside"
    REQUIRES = "requires", "Needs first"


class Latency(models.TextChoices):
    """How long an answer may take."""

    SECONDS = "seconds", "Seconds: somebody waits for it"
    MINUTES = "minutes", "Minutes"
    OVERNIGHT = "overnight", "Overnight: batch is fine"


class Case(models.TextChoices):
    """The size of an ask: the least that is useful, what is wanted, and what more would still pay."""

    MIN = "min", "Minimum"
    TARGET = "target", "Target"
    STRETCH = "stretch", "Stretch"


class Basis(models.TextChoices):
    """What a quote line prices: the ask with each item on its own tier, or the whole work on one tier."""

    ASKED = "asked", "As asked"
    WHOLE = "whole", "All on this tier"


class Answer(models.TextChoices):
    """An answer to a question of the checklist."""

    YES = "yes", "Yes"
    NO = "no", "No"
    NOT_APPLICABLE = "na", "Does not apply"


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the compliance checklist; `code` is what is stored."""

    code: str
    text: str


CHECKLIST = (
    Question("minimised", "Prompts carry only the data that the task needs."),
    Question("permitted", "The team may use this data for this purpose."),
    Question("checked", "A person checks results before they reach a customer or change a record."),
    Question("retained", "Prompts and answers are deleted on the same schedule as their source."),
)

DEFAULT_CRITERIA = (
    ("Value", "How much is it worth to the company, if it works?", 40),
    ("Evidence", "How far do the figures rest on something measured?", 25),
    ("Delivery", "Will this team get it running, and notice when it is not good enough?", 20),
    ("Frugality", "Is it the cheapest tier and the fewest calls that do the job?", 15),
)
"""Name, question and weight of the criteria that a new round starts with; weights sum to 100."""
