"""A revision as people read it: its facts in words, its quote as a table, its difference to another one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ledger.models import Tier
from ledger.money import show
from pitches.diff import Change, Fact, facts_changed
from pitches.models import Attachment, LineItem, PitchRevision, QuoteLine
from pitches.questions import CHECKLIST, Answer, Basis, Case
from pitches.quotes import NOTHING, Quote, Range, in_cents


@dataclass(frozen=True, slots=True)
class TierQuote:
    """What the whole work costs on one tier, a month and over the period, in USD; `asked` is the ask's own part."""

    tier: Tier
    month: Mapping[Case, Range]
    period: Mapping[Case, Range]
    asked: Decimal


@dataclass(frozen=True, slots=True)
class QuoteTable:
    """A quote as pages show it; amounts are USD."""

    tiers: list[TierQuote]
    asked_month: Mapping[Case, Range]
    asked_period: Mapping[Case, Range]
    months: int
    rate_card_version: int
    cached_share: Decimal | None = None
    batch_share: Decimal | None = None

    @property
    def ask(self) -> Decimal:
        """Return what is asked for: expected at target over the period, each tier up to the cent."""
        return sum((tier.asked for tier in self.tiers), Decimal(0))

    def worth_per_dollar(self, value: Decimal | None) -> Decimal | None:
        """Return the expected value per dollar asked, to one place; None without an ask or value."""
        return (value / self.ask).quantize(Decimal("0.1")) if value is not None and self.ask > 0 else None


def quote_table(quote: Quote) -> QuoteTable:
    """Return a live quote as a table."""
    tiers = [
        TierQuote(
            tier=tier,
            month=quote.whole[tier],
            period={case: cost.times(quote.months) for case, cost in quote.whole[tier].items()},
            asked=in_cents(quote.asked[tier][Case.TARGET].expected * quote.months)
            if tier in quote.asked
            else Decimal(0),
        )
        for tier in Tier
        if tier in quote.whole
    ]
    return QuoteTable(
        tiers=tiers,
        asked_month={case: quote.total(case) for case in Case},
        asked_period={case: quote.period_total(case) for case in Case},
        months=quote.months,
        rate_card_version=quote.rate_card_version,
        cached_share=quote.cached_share,
        batch_share=quote.batch_share,
    )


def quote_kept(revision: PitchRevision) -> QuoteTable:
    """Return the quote that was kept with a revision as a table."""
    lines = {(line.basis, line.tier, line.case): line for line in revision.quote_lines.all()}

    def period(basis: Basis, tier: Tier, case: Case) -> Range:
        line = lines.get((basis.value, tier.value, case.value))
        return Range(line.low, line.expected, line.high) if line else NOTHING

    def months(cost: Range) -> Range:
        count = revision.months
        return Range(cost.low / count, cost.expected / count, cost.high / count)

    tiers = [tier for tier in Tier if (Basis.WHOLE.value, tier.value, Case.TARGET.value) in lines]
    asked = {case: sum((period(Basis.ASKED, tier, case) for tier in Tier), NOTHING) for case in Case}
    return QuoteTable(
        tiers=[
            TierQuote(
                tier=tier,
                month={case: months(period(Basis.WHOLE, tier, case)) for case in Case},
                period={case: period(Basis.WHOLE, tier, case) for case in Case},
                asked=in_cents(period(Basis.ASKED, tier, Case.TARGET).expected),
            )
            for tier in tiers
        ],
        asked_month={case: months(cost) for case, cost in asked.items()},
        asked_period=asked,
        months=revision.months,
        rate_card_version=revision.rate_card_version,
    )


def asked_total(lines: Iterable[QuoteLine]) -> Decimal:
    """Return what quote lines of one revision ask for at target over the period, in USD up to the cent."""
    kept = (line for line in lines if (line.basis, line.case) == (Basis.ASKED, Case.TARGET))
    return sum((in_cents(line.expected) for line in kept), Decimal(0))


def facts_of(revision: PitchRevision) -> list[Fact]:
    """Return everything that a revision says, in the order of the form."""
    questions = {question.code: question.text for question in CHECKLIST}
    return [
        Fact("Use case", revision.title),
        Fact("What the agents will do", revision.summary),
        Fact("The problem", revision.problem),
        Fact("Kind of value", revision.get_value_kind_display()),
        Fact("Metric", revision.value_metric),
        Fact("Value, cautious", show(revision.value_p10)),
        Fact("Value, expected", show(revision.value_p50)),
        Fact("Value, hopeful", show(revision.value_p90)),
        Fact("From metric to dollars", revision.value_method),
        Fact("Evidence", revision.get_evidence_display()),
        Fact("Signs off the value", revision.sign_off.name),
        Fact("How fast", revision.get_latency_display()),
        Fact("When a tier is spent", revision.get_stop_behaviour_display()),
        *(Fact(f"Line item {item.position}", _item_words(item)) for item in revision.line_items.all()),
        Fact("Quality bar", revision.quality_bar),
        *(Fact(f"Milestone {row.position}", f"{row.title}, by {row.due_on}") for row in revision.milestones.all()),
        Fact("Most sensitive data", revision.get_data_class_display()),
        *(
            Fact(questions.get(code, code), Answer(answer).label if answer in Answer.values else answer)
            for code, answer in revision.compliance.items()
        ),
        Fact("Explanation", revision.compliance_note),
        *(
            Fact(f"File {pin.attachment.name}", _file_words(pin.attachment))
            for pin in revision.revision_attachments.all()
        ),
        Fact("Ask over the period", show(asked_total(revision.quote_lines.all()))),
    ]


def _item_words(item: LineItem) -> str:
    return (
        f"{item.workflow}: {item.get_tier_display()}, {item.calls_target:,} calls a month "
        f"({item.calls_min:,} to {item.calls_stretch:,}), {item.input_tokens:,} tokens in "
        f"({item.cached_tokens:,} cached), {item.output_tokens:,} out, {item.batch_percent} % can wait"
    )


def _file_words(attachment: Attachment) -> str:
    size = f"{attachment.size:,} bytes"
    return f"{attachment.get_kind_display()}, {size}, SHA-256 begins with {attachment.digest}"


def checklist_of(revision: PitchRevision) -> list[Fact]:
    """Return the answers of the compliance checklist in words."""
    answers = revision.compliance
    return [
        Fact(question.text, Answer(answers[question.code]).label) for question in CHECKLIST if question.code in answers
    ]


def changes_between(before: PitchRevision, after: PitchRevision) -> list[Change]:
    """Return what a newer revision says differently."""
    return facts_changed(facts_of(before), facts_of(after))
