"""The calibration factor: between a team's own ratio and its class's, whatever the currency, and M without a past."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pitches.calibration import POLICY_RATIO, Claim, basis, factor

OURS, THEIRS = 1, 2


def claim(claimed: int, realised: int, *, team: int = OURS, kind: str = "saving") -> Claim:
    return Claim(team, kind, Decimal(claimed), Decimal(realised))


def test_without_a_past_a_dollar_counts_sixty_cents() -> None:
    assert factor([], team=OURS, kind="saving") == Decimal("0.6000")


def test_a_short_history_is_topped_up_with_four_typical_pitches() -> None:
    claims = [claim(1000, 1000)]

    # (1,000 + 4,000 x 0.6) / (1,000 + 4,000)
    assert factor(claims, team=OURS, kind="saving") == Decimal("0.6800")


def test_the_median_claim_of_the_class_is_what_a_typical_pitch_is() -> None:
    claims = [claim(1000, 0), claim(2000, 0, team=THEIRS), claim(9000, 0, team=THEIRS)]

    found = basis(claims, team=OURS, kind="saving")

    assert found.top_up == 8000
    assert found.unclipped == Fraction(8000 * 3, 5 * 9000)


def test_ten_resolved_pitches_replace_the_policy_value() -> None:
    nine = [claim(100, 90, team=THEIRS) for _ in range(9)]

    assert factor(nine, team=OURS, kind="saving") == Decimal("0.6000")
    assert factor([*nine, claim(100, 90, team=THEIRS)], team=OURS, kind="saving") == Decimal("0.9000")


def test_a_windfall_counts_for_twice_its_claim() -> None:
    once, often = [claim(1000, 2000)], [claim(1000, 1_000_000)]

    assert factor(once, team=OURS, kind="saving") == factor(often, team=OURS, kind="saving") == Decimal("0.8800")


def test_another_kind_of_value_is_another_class() -> None:
    assert factor([claim(1000, 1000, kind="revenue")], team=OURS, kind="saving") == Decimal("0.6000")


def test_the_factor_is_clipped_at_a_quarter_and_at_one_and_a_quarter() -> None:
    failed = [claim(1000, 0) for _ in range(40)]
    doubled = [claim(1000, 2000) for _ in range(40)]

    assert factor(failed, team=OURS, kind="saving") == Decimal("0.2500")
    assert factor(doubled, team=OURS, kind="saving") == Decimal("1.2500")


claims = st.lists(
    st.builds(claim, st.integers(1, 10**7), st.integers(0, 10**8), team=st.sampled_from([OURS, THEIRS])), max_size=25
)


@given(claims)
def test_the_factor_lies_between_the_teams_ratio_and_its_classs(history: list[Claim]) -> None:
    found = basis(history, team=OURS, kind="saving")

    own = found.counted / found.claimed if found.claimed else found.class_ratio
    assert min(own, found.class_ratio) <= found.unclipped <= max(own, found.class_ratio)


@given(claims, st.integers(1, 1000))
def test_the_factor_does_not_depend_on_the_currency(history: list[Claim], times: int) -> None:
    scaled = [Claim(one.team, one.kind, one.claimed * times, one.realised * times) for one in history]

    assert factor(scaled, team=OURS, kind="saving") == factor(history, team=OURS, kind="saving")


@given(claims)
def test_a_team_without_a_past_gets_the_ratio_of_its_class(history: list[Claim]) -> None:
    theirs = [one for one in history if one.team == THEIRS]

    found = basis(theirs, team=OURS, kind="saving")

    assert found.unclipped == found.class_ratio
    assert found.is_policy == (len(theirs) < 10)
    assert not found.is_policy or found.class_ratio == POLICY_RATIO
