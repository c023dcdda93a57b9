"""A revision as people read it: its facts in words, its quote as a table, its difference to another one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ledger.models import Tier
from ledger.money import show
from pitches.asking import DEFAULT_CHECKLIST, answer_words
from pitches.diff import Change, Fact, facts_changed
from pitches.models import Aspect, Attachment, LineItem, PitchRevision, QuoteLine, RevisionQuality
from pitches.questions import Answer, Basis, Case, Evidence, SectionCode
from pitches.quotes import NOTHING, Quote, Range, Work, batch_share, cached_share, in_cents
from teams.models import User


@dataclass(frozen=True, slots=True)
class TierQuote:
    """What the whole work costs on one tier, a month and over the period, in USD; `asked` is the ask's own part."""

    tier: Tier
    month: Mapping[Case, Range]
    period: Mapping[Case, Range]
    asked: Decimal


@dataclass(frozen=True, slots=True)
class TierWorth:
    """Dollars of value for each dollar that all of the work costs on one tier, to one place; no tier: as asked."""

    tier: Tier | None
    per_dollar: list[Decimal | None]


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

    def worth_by_tier(self, values: Sequence[Decimal | None]) -> list[TierWorth]:
        """Return for the ask, then for each tier, what a dollar buys at values in USD over the period."""
        rows = [(row.tier, row.period[Case.TARGET].expected) for row in self.tiers]
        asked = TierWorth(None, [_per_dollar(value, self.ask) for value in values])
        return [asked, *(TierWorth(tier, [_per_dollar(value, cost) for value in values]) for tier, cost in rows)]

    def worth_per_dollar(self, value: Decimal | None) -> Decimal | None:
        """Return the expected value per dollar asked, to one place; None without an ask or value."""
        return _per_dollar(value, self.ask)


def _per_dollar(value: Decimal | None, cost: Decimal) -> Decimal | None:
    return (value / cost).quantize(Decimal("0.1")) if value is not None and cost > 0 else None


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

    works = [_work(item) for item in revision.line_items.all()]
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
        cached_share=cached_share(works),
        batch_share=batch_share(works),
    )


def _work(item: LineItem) -> Work:
    calls = {Case.MIN: item.calls_min, Case.TARGET: item.calls_target, Case.STRETCH: item.calls_stretch}
    return Work(
        tier=Tier(item.tier),
        calls=calls,
        input_tokens=item.input_tokens,
        cached_tokens=item.cached_tokens,
        output_tokens=item.output_tokens,
        batch_percent=item.batch_percent,
    )


def asked_total(lines: Iterable[QuoteLine]) -> Decimal:
    """Return what quote lines of one revision ask for at target over the period, in USD up to the cent."""
    kept = (line for line in lines if (line.basis, line.case) == (Basis.ASKED, Case.TARGET))
    return sum((in_cents(line.expected) for line in kept), Decimal(0))


def facts_of(revision: PitchRevision) -> list[Fact]:
    """Return everything that a revision says, in the order of the form."""
    return [
        Fact("Use case", revision.title),
        Fact("What the agents will do", revision.summary),
        Fact("The problem", revision.problem),
        *_answers(revision, SectionCode.CASE),
        Fact("Accountable", accountable_of(revision).name),
        *(Fact(f"Co-applicant {row.user.name}", row.role) for row in revision.applicants.all()),
        *(Fact(f"Tie to {row.other.number}", row.get_kind_display()) for row in revision.links.all()),
        *_answers(revision, SectionCode.PEOPLE),
        Fact("Kind of value", revision.get_value_kind_display()),
        Fact("Metric", revision.value_metric),
        Fact("Value, cautious", show(revision.value_p10)),
        Fact("Value, expected", show(revision.value_p50)),
        Fact("Value, hopeful", show(revision.value_p90)),
        Fact("From metric to dollars", revision.value_method),
        Fact("Evidence", revision.get_evidence_display()),
        Fact("Signs off the value", revision.sign_off.name),
        *_answers(revision, SectionCode.VALUE),
        *_work_facts(revision),
        Fact("Quality bar", revision.quality_bar),
        *(Fact(f"Quality, {row.get_tier_display()}", _quality_words(row)) for row in revision.quality.all()),
        *(Fact(f"Milestone {row.position}", f"{row.title}, by {row.due_on}") for row in revision.milestones.all()),
        *_answers(revision, SectionCode.PROOF),
        *_data_facts(revision),
        _ask_fact(revision),
    ]


def _work_facts(revision: PitchRevision) -> list[Fact]:
    return [
        Fact("How fast", revision.get_latency_display()),
        Fact("When a tier is spent", revision.get_stop_behaviour_display()),
        *(Fact(f"Line item {item.position}", _item_words(item)) for item in revision.line_items.all()),
        *_answers(revision, SectionCode.WORK),
    ]


def _data_facts(revision: PitchRevision) -> list[Fact]:
    return [
        Fact("Most sensitive data", revision.get_data_class_display()),
        *checklist_of(revision),
        Fact("Explanation", revision.compliance_note),
        *(
            Fact(f"File {pin.attachment.name}", _file_words(pin.attachment))
            for pin in revision.revision_attachments.all()
        ),
        *_answers(revision, SectionCode.DATA),
    ]


def _ask_fact(revision: PitchRevision) -> Fact:
    return Fact("Ask over the period", show(asked_total(revision.quote_lines.all())))


def facts_screened(revision: PitchRevision, aspect: Aspect) -> list[Fact]:
    """Return what a screening of an aspect judges: calls, tokens, tiers and price, or data, purpose and people."""
    what = Fact("What the agents will do", revision.summary)
    if aspect == Aspect.ESTIMATE:
        return [what, *_work_facts(revision), _ask_fact(revision)]
    return [
        Fact("Use case", revision.title),
        what,
        Fact("The problem", revision.problem),
        Fact("Accountable", accountable_of(revision).name),
        *(Fact(f"Co-applicant {row.user.name}", row.role) for row in revision.applicants.all()),
        *_answers(revision, SectionCode.PEOPLE),
        *_data_facts(revision),
    ]


def _item_words(item: LineItem) -> str:
    return (
        f"{item.workflow}: {item.get_tier_display()}, {item.calls_target:,} calls a month "
        f"({item.calls_min:,} to {item.calls_stretch:,}), {item.input_tokens:,} tokens in "
        f"({item.cached_tokens:,} cached), {item.output_tokens:,} out, {item.batch_percent} % can wait; "
        f"{Evidence(item.evidence).word.lower()}"
    )


def _file_words(attachment: Attachment) -> str:
    size = f"{attachment.size:,} bytes"
    return f"{attachment.get_kind_display()}, {size}, SHA-256 begins with {attachment.digest}"


def _quality_words(row: RevisionQuality) -> str:
    return f"{row.quality * 100:.2f} % of what the tier asked for delivers; {row.evidence}"


def accountable_of(revision: PitchRevision) -> User:
    """Return who answers for the result: whoever was named, else the pitch's owner."""
    return revision.accountable or revision.pitch.owner


def answers_of(revision: PitchRevision) -> list[tuple[str, Fact]]:
    """Return the questions of the round as they were asked, with their answers in words, each with its section."""
    return [
        (row["section"], Fact(row["text"], answer_words(row["kind"], revision.answers[row["code"]])))
        for row in revision.questions
    ]


def _answers(revision: PitchRevision, section: SectionCode) -> list[Fact]:
    return [fact for place, fact in answers_of(revision) if place == section]


def checklist_of(revision: PitchRevision) -> list[Fact]:
    """Return the answers of the compliance checklist in words."""
    said = revision.compliance
    # A revision from before rounds had a checklist of their own keeps answers only.
    asked = revision.checklist or [{"code": check.code, "text": check.text} for check in DEFAULT_CHECKLIST]
    return [Fact(line["text"], Answer(said[line["code"]]).label) for line in asked if line["code"] in said]


def changes_between(before: PitchRevision, after: PitchRevision) -> list[Change]:
    """Return what a newer revision says differently."""
    return facts_changed(facts_of(before), facts_of(after))
