"""Scores: raw figures, members put on one scale, and a conviction that a conflict cannot touch."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pitches.scoring import Score, conviction, pooled_sd, shrunk_mean, spread, standings, weighted_mean

ALL = frozenset({1, 2, 3})


def scored(rows: dict[int, list[int]]) -> list[Score]:
    """Return scores from member -> scores of pitches 1, 2, 3 and so on."""
    return [Score(pitch, member, score) for member, row in rows.items() for pitch, score in enumerate(row, start=1)]


def test_raw_figures_are_mean_median_and_population_spread() -> None:
    [standing] = standings([Score(1, 1, 9), Score(1, 2, 6), Score(1, 3, 5)], {1: ALL}).values()

    assert (standing.count, standing.mean, standing.median, standing.disagreement) == (
        3,
        Decimal("6.7"),
        Decimal("6.0"),
        Decimal("1.7"),  # the root of 26/9
    )


def test_the_median_of_two_lies_between_them() -> None:
    [standing] = standings([Score(1, 1, 8), Score(1, 2, 5)], {1: ALL}).values()

    assert standing.median == Decimal("6.5")


def test_without_a_score_conviction_is_one() -> None:
    [standing] = standings([], {1: ALL}).values()

    assert (standing.mean, standing.z, standing.k) == (None, Decimal(0), Decimal(1))


def test_a_members_own_mean_is_topped_up_with_four_typical_scores() -> None:
    assert shrunk_mean([8, 8, 8, 8, 8], Fraction(6)) == Fraction(5 * 8 + 4 * 6, 9)


def test_the_pooled_spread_is_around_each_members_own_mean_and_at_least_half_a_point() -> None:
    assert pooled_sd([[1, 3], [7, 9]]) == 1  # both members are two points wide, however far apart they stand
    assert pooled_sd([[7, 7, 7], [8, 8]]) == Decimal("0.5")
    assert pooled_sd([]) == Decimal("0.5")


def test_a_lenient_member_and_a_strict_one_say_the_same_about_the_same_order() -> None:
    rows = {1: [3, 4, 5, 6, 7], 2: [5, 6, 7, 8, 9]}

    found = standings(scored(rows), dict.fromkeys(range(1, 6), ALL))

    # Means 5 and 7, overall 6, topped up 49/9 and 59/9; the first pitch lies 22/9 and 14/9 below them, 2 on average.
    # The spread within each member is the root of 2.
    assert [str(found[pitch].z) for pitch in range(1, 6)] == ["-1.4142", "-0.7071", "0.0000", "0.7071", "1.4142"]
    assert [str(found[pitch].k) for pitch in range(1, 6)] == ["0.6464", "0.8232", "1.0000", "1.1768", "1.3536"]


def test_four_scores_are_not_enough_to_be_standardised_and_count_with_z_zero() -> None:
    rows = {1: [3, 4, 5, 6, 7], 2: [1, 1, 1, 1]}

    found = standings(scored(rows), dict.fromkeys(range(1, 6), ALL))
    alone = standings(scored({1: rows[1]}), dict.fromkeys(range(1, 6), ALL))

    assert found[1].z == Decimal("-0.7071")  # half of what the first member alone says
    assert alone[1].z == Decimal("-1.4142")
    assert found[5].k == alone[5].k  # which the second one did not score


def test_conviction_is_clipped_and_rounded_half_to_even() -> None:
    assert [str(conviction(Decimal(z))) for z in ("-9", "-2", "0", "0.0002", "0.0006", "2", "9")] == [
        "0.5000",
        "0.5000",
        "1.0000",
        "1.0000",
        "1.0002",
        "1.5000",
        "1.5000",
    ]


def test_reviews_are_weighed_by_expertise() -> None:
    assert weighted_mean([(1, 3), (3, 7)]) == 6
    assert spread([3, 7]) == 2


pitches = st.integers(1, 6)
ballots = st.dictionaries(st.tuples(pitches, st.integers(1, 5)), st.integers(1, 9), max_size=30)


@given(ballots, ballots, st.integers(1, 5), pitches)
def test_a_conflicted_members_input_changes_nothing_for_that_pitch(
    written: dict[tuple[int, int], int], otherwise: dict[tuple[int, int], int], member: int, pitch: int
) -> None:
    everybody = frozenset(range(1, 6))
    eligible = {number: everybody - {member} if number == pitch else everybody for number in range(1, 7)}

    def judged(by_conflicted: dict[tuple[int, int], int]) -> object:
        rows = [Score(*key, score) for key, score in written.items() if key[1] != member]
        rows += [Score(*key, score) for key, score in by_conflicted.items() if key[1] == member]
        return standings(rows, eligible)[pitch]

    assert judged(written) == judged(otherwise)


@given(ballots)
def test_conviction_stays_between_a_half_and_one_and_a_half_and_order_does_not_matter(
    written: dict[tuple[int, int], int],
) -> None:
    rows = [Score(*key, score) for key, score in written.items()]
    eligible = {number: frozenset(range(1, 6)) for number in range(1, 7)}

    found = standings(rows, eligible)

    assert found == standings(rows[::-1], eligible)
    assert all(Decimal("0.5") <= standing.k <= Decimal("1.5") for standing in found.values())
