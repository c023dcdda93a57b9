"""The exact choice keeps every limit, is the best there is, and does not depend on how it was asked."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pitches.selection import documents, exact, explain, greedy, shares
from pitches.selection.problem import Infeasible, Option, Problem, ProblemError, Solution, breaches, chosen
from pitches.selection.programme import Programme
from pitches.selection.session import Session
from tests.pitches.selections import by_trying, large, problems
from tests.processes import ROOT

few = settings(max_examples=40, deadline=None)


def one(**more: object) -> Problem:
    """Return a round of $10 with three pitches of two teams."""
    options = (
        Option("A", "full", "red", "frontier", 600, 900),
        Option("B", "full", "blue", "standard", 500, 800),
        Option("C", "full", "blue", "standard", 400, 700),
    )
    return replace(Problem(1000, 0, Decimal(1), None, {}, "seed", options), **more)  # type: ignore[arg-type]


def pitches_of(solution: Solution) -> set[str]:
    return set(dict(solution.selected))


@settings(max_examples=150, deadline=None)
@given(problems())
def test_highs_chooses_what_trying_every_set_chooses_ties_included(problem: Problem) -> None:
    assert exact.solve(problem) == by_trying(problem)


@settings(max_examples=6, deadline=None)
@given(problems(pitches=12, figures=1000))
def test_up_to_twelve_pitches_of_large_figures_are_chosen_as_trying_chooses_them(problem: Problem) -> None:
    small = replace(problem, options=tuple(option for option in problem.options if option.offer != "offer-2"))
    assume(2 ** len(small.options) <= 2**18)
    assert exact.solve(small) == by_trying(small)


@few
@given(problems())
def test_the_integer_programme_agrees_wherever_it_says_that_it_is_exact_and_bounds_elsewhere(problem: Problem) -> None:
    best, solution = Programme(problem).at(), exact.solve(problem)
    assert best.worth == solution.worth if best.exact else best.worth >= solution.worth


@few
@given(problems(figures=1000))
def test_the_integer_programme_is_exact_with_caps_of_teams(problem: Problem) -> None:
    problem = replace(problem, tier_caps={}, incompatible=(), requires=())
    programme = Programme(problem)
    assert programme.exact
    assert programme.best() == exact.solve(problem).worth
    found = chosen(problem, replace(exact.solve(problem), selected=programme.selection()))
    assert sum(option.worth for option in found) == programme.best()
    assert breaches(problem, found) == []


@few
@given(problems())
def test_budget_caps_and_pairs_hold_to_the_cent(problem: Problem) -> None:
    found = chosen(problem, exact.solve(problem))
    assert breaches(problem, found) == []
    assert all(problem.eligible(option) for option in found)


@few
@given(problems())
def test_nothing_that_is_eligible_and_worth_something_still_fits(problem: Problem) -> None:
    """No unfunded option and no upgrade fits beside the rest: with pairs, one that breaks no pair."""
    found = chosen(problem, exact.solve(problem))
    for option in problem.options:
        rest = [other for other in found if other.pitch != option.pitch]
        had = sum(other.worth for other in found) - sum(other.worth for other in rest)
        assert not (problem.eligible(option) and option.worth > had and not breaches(problem, [*rest, option]))


@few
@given(problems(), st.data())
def test_cutting_a_winners_cost_or_raising_its_worth_keeps_its_pitch_winning(
    problem: Problem, data: st.DataObject
) -> None:
    """It is the pitch that keeps winning, and with the very offer that changed: its set got better, no other did.

    A set without the changed offer is worth and costs what it did. With a cut, sets with the offer cost less and
    are allowed wherever they were (a cost counts only against limits), so that the old winner, being first among
    equals before, now is ahead of all sets without the offer.
    """
    winners = chosen(problem, exact.solve(problem))
    assume(winners)
    winner = data.draw(st.sampled_from(winners))
    cheaper = replace(winner, cost=data.draw(st.integers(0, winner.cost)))
    better = replace(winner, worth=winner.worth + data.draw(st.integers(0, 5)))
    for changed in (cheaper, better):
        options = tuple(changed if option is winner else option for option in problem.options)
        assert winner.name in exact.solve(replace(problem, options=options)).selected


@few
@given(problems(), st.integers(0, 40))
def test_the_best_worth_never_falls_as_the_budget_grows(problem: Problem, more: int) -> None:
    """The caps of teams and tiers are shares of the cap and grow with it."""
    larger = replace(problem, cap=problem.cap + more)
    assert exact.solve(larger).worth >= exact.solve(problem).worth
    curve = Programme(problem).curve(range(0, problem.cap + 1, max(1, problem.cap // 5)))
    assert [worth for _, worth in curve] == sorted(worth for _, worth in curve)


@few
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter_and_the_same_seed_gives_the_same_bytes(
    problem: Problem,
    dice: "st.Random",  # type: ignore[name-defined]
) -> None:
    options, pairs = list(problem.options), list(problem.incompatible)
    dice.shuffle(options)
    dice.shuffle(pairs)
    shuffled = replace(problem, options=tuple(options), incompatible=tuple((b, a) for a, b in pairs))
    assert documents.canonical(shuffled) == documents.canonical(problem)
    assert documents.answer(exact.solve(shuffled)) == documents.answer(exact.solve(problem))
    assert exact.solve(documents.read(documents.canonical(problem).decode())) == exact.solve(problem)


@few
@given(problems())
def test_deleting_an_unfunded_pitch_changes_nothing(problem: Problem) -> None:
    """Its pairs go with it; a pitch that needs the deleted one was not funded either, and goes too."""
    solution = exact.solve(problem)
    gone = {option.pitch for option in problem.options} - pitches_of(solution)
    incompatible = tuple(pair for pair in problem.incompatible if not gone & {*pair})
    requires = tuple(pair for pair in problem.requires if not gone & {*pair})
    left = tuple(option for option in problem.options if option.pitch not in gone)
    assert exact.solve(replace(problem, options=left, incompatible=incompatible, requires=requires)) == solution


@few
@given(problems(), st.data())
def test_an_offer_that_the_system_adds_never_lowers_the_best_worth(problem: Problem, data: st.DataObject) -> None:
    of = data.draw(st.sampled_from(problem.options))
    offer = replace(of, offer="cheaper", tier="economy", cost=of.cost // 2, worth=data.draw(st.integers(0, of.worth)))
    assert exact.solve(replace(problem, options=(*problem.options, offer))).worth >= exact.solve(problem).worth


@few
@given(problems(), st.data())
def test_forcing_a_pitch_never_pays(problem: Problem, data: st.DataObject) -> None:
    pitch, solution = data.draw(st.sampled_from(problem.options)).pitch, exact.solve(problem)
    for way in ("in", "out"):
        price = explain.force_price(problem, solution, pitch, way)
        assert price is None or price >= 0
        assert price == 0 or (way == "in") != (pitch in pitches_of(solution))


@few
@given(problems(), st.data())
def test_what_is_forced_in_is_in_and_the_rest_is_the_best_beside_it(problem: Problem, data: st.DataObject) -> None:
    pitch = data.draw(st.sampled_from(problem.options)).pitch
    best = by_trying(problem, forced_in=pitch)
    if best is None:
        with pytest.raises(Infeasible):
            exact.solve(problem, forced_in=[pitch])
    else:
        assert exact.solve(problem, forced_in=[pitch]) == best
    assert pitch not in pitches_of(exact.solve(problem, forced_out=[pitch]))


@settings(max_examples=15, deadline=None)
@given(problems(pitches=4))
def test_the_smallest_change_funds_and_a_cent_less_does_not(problem: Problem) -> None:
    solution = exact.solve(problem)
    for pitch in sorted({option.pitch for option in problem.options} - pitches_of(solution))[:1]:
        change = explain.smallest_change(problem, solution, pitch)
        for offer, step, less in (
            (change.cost_offer, change.cost_cut, "cost"),
            (change.worth_offer, change.worth_raise, "worth"),
        ):
            if offer is None or step is None:
                continue
            for cents, funded in ((step, True), (step - 1, False)):
                options = tuple(
                    replace(option, **{less: getattr(option, less) + (cents if less == "worth" else -cents)})
                    if option.name == (pitch, offer)
                    else option
                    for option in problem.options
                )
                assert (pitch in pitches_of(exact.solve(replace(problem, options=options)))) is funded


def test_the_best_set_is_not_what_greed_takes() -> None:
    assert exact.solve(one()) == Solution((("A", "full"), ("C", "full")), 1600, 1000, optimal=True, gap=0)
    assert pitches_of(greedy.solve(one())) == {"B", "C"}
    assert pitches_of(shares.solve(one())) == {"C"}


def test_a_caps_share_is_of_the_cap_and_floored_to_the_cent() -> None:
    assert pitches_of(exact.solve(one(team_cap=Decimal("0.59999")))) == {"B"}
    assert pitches_of(exact.solve(one(team_cap=Decimal("0.6")))) == {"A", "C"}
    assert pitches_of(exact.solve(one(tier_caps={"standard": Decimal("0.3")}))) == {"A"}
    assert pitches_of(exact.solve(one(reserve=1))) == {"B", "C"}


def test_an_offer_of_several_tiers_counts_against_each_with_its_part() -> None:
    split = Option("A", "full", "red", "frontier", 600, 900, {"frontier": 300, "economy": 300})
    options = (split, *one().options[1:])
    assert pitches_of(exact.solve(one(options=options, tier_caps={"frontier": Decimal("0.3")}))) == {"A", "C"}
    assert pitches_of(exact.solve(one(options=options, tier_caps={"economy": Decimal("0.29")}))) == {"B", "C"}


def test_ties_go_to_the_cheaper_set_then_to_teams_that_waited_then_by_the_seed() -> None:
    twins = tuple(Option(pitch, "full", pitch, "standard", 10, 10) for pitch in "ABCD")
    round_ = one(cap=10, options=twins)
    assert {next(iter(exact.solve(replace(round_, seed=str(seed))).selected))[0] for seed in range(40)} == set("ABCD")
    waited = tuple(replace(option, unfunded_rounds=2 * (option.pitch == "C")) for option in twins)
    assert {exact.solve(replace(round_, options=waited, seed=str(seed))).selected for seed in range(5)} == {
        (("C", "full"),)
    }
    cheaper = tuple(replace(option, cost=9 if option.pitch == "D" else 10) for option in waited)
    assert pitches_of(exact.solve(replace(round_, options=cheaper))) == {"D"}


def test_each_pitch_is_told_why() -> None:
    low = Option("D", "full", "red", "economy", 100, 99)
    dear = Option("E", "full", "green", "economy", 1001, 5000)
    problem = one(options=(*one().options, low, dear))
    solution = exact.solve(problem)
    told = explain.reasons(problem, solution)
    assert {pitch: (reason.code, reason.by) for pitch, reason in told.items()} == {
        "A": ("selected", ()),
        "B": ("displaced", ("A",)),
        "C": ("selected", ()),
        "D": ("below_hurdle", ()),
        "E": ("cap", ()),
    }
    assert explain.force_price(problem, solution, "B", "in") == 100
    assert explain.force_price(problem, solution, "A", "out") == 100
    assert explain.force_price(problem, solution, "E", "in") is None
    assert explain.smallest_change(problem, solution, "B") == explain.Change(100, "full", 100, "full")


def test_caps_and_pairs_are_named_as_reasons() -> None:
    team = one(cap=2000, team_cap=Decimal("0.4"))
    assert explain.reasons(team, exact.solve(team))["C"].code == "team_cap"
    tier = one(cap=2000, tier_caps={"frontier": Decimal("0.1")})
    assert explain.reasons(tier, exact.solve(tier))["A"].code == "tier_cap"
    pair = one(cap=2000, incompatible=(("C", "B"),))
    assert explain.reasons(pair, exact.solve(pair))["C"] == explain.Reason("incompatible", ("B",))
    needs = one(cap=2000, team_cap=Decimal("0.25"), requires=(("B", "A"), ("C", "A")))
    assert explain.reasons(needs, exact.solve(needs))["C"] == explain.Reason("requires", ("A",))


def test_a_larger_budget_can_drop_a_funded_pitch_and_says_so() -> None:
    options = (
        Option("A", "full", "red", "standard", 100, 300),
        Option("B", "full", "blue", "standard", 105, 390),
    )
    difference = explain.budget_difference(one(cap=100, options=options))
    assert (difference.joins, difference.drops) == (("B",), ("A",))


def test_what_cannot_be_forced_is_refused() -> None:
    with pytest.raises(Infeasible, match="limit"):
        exact.solve(one(), forced_in=["A", "B"])
    with pytest.raises(Infeasible, match="in and out"):
        exact.solve(one(), forced_in=["A"], forced_out=["A"])
    with pytest.raises(Infeasible, match="no Z"):
        exact.solve(one(), forced_in=["Z"])


def test_an_offer_that_is_forced_in_is_the_one_that_is_taken() -> None:
    options = (*one().options, Option("A", "partial", "red", "standard", 100, 100))
    assert ("A", "partial") in exact.solve(one(options=options), forced_in=[("A", "partial")]).selected


def test_a_slider_moves_and_comes_back_to_the_same_choice() -> None:
    problem = documents.read(json.dumps(large(60, "plain", limits=True)))
    session, before = Session(problem), exact.solve(problem)
    assert session.solve() == before
    moved = session.solve(cap=problem.cap * 9 // 10, forced_out=[before.selected[0][0]])
    assert moved == exact.solve(session.at(problem.cap * 9 // 10), forced_out=[before.selected[0][0]])
    assert moved.worth < before.worth
    assert session.solve() == before


def test_two_hundred_pitches_are_proved_by_both_ways_alike() -> None:
    problem = documents.read(json.dumps(large(200, "plain", limits=False)))
    solution = exact.solve(problem)
    assert (solution.optimal, solution.gap, solution.settled) == (True, 0, True)
    assert Programme(problem).best() == solution.worth
    assert greedy.solve(problem).worth < solution.worth
    assert shares.solve(problem).worth < solution.worth


def test_when_time_runs_out_the_gap_is_said_and_nothing_is_claimed() -> None:
    problem = documents.read(json.dumps(large(200, "plain", limits=True)))
    best, hasty = exact.solve(problem), exact.solve(problem, seconds=0)
    assert not hasty.optimal
    assert hasty.worth <= best.worth <= hasty.worth + hasty.gap
    assert breaches(problem, chosen(problem, hasty)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cap": -1}, "cap: is not between"),
        ({"cap": 1.5}, "cap: is not a whole number"),
        ({"cap": None}, "cap: is missing"),
        ({"reserve": 1001}, "reserve: is not between 0 and the cap"),
        ({"hurdle": "1"}, "hurdle: is not a number"),
        ({"team_cap": 1.5}, "team_cap: is not between 0 and 1"),
        ({"tier_caps": {"frontier": -0.1}}, "tier_caps.frontier: is not between 0 and 1"),
        ({"offers": {}}, "offers: is not a list"),
        ({"incompatible": [["A"]]}, "incompatible[0]: is not two pitches"),
        ({"requires": [["A", "Z"]]}, "requires[0]: there is no pitch Z"),
        ({"budget": 1}, "the file: has budget, which is not known"),
    ],
)
def test_a_wrong_figure_is_named_with_its_place(change: dict[str, object], words: str) -> None:
    said = json.loads(documents.canonical(one())) | change
    with pytest.raises(ProblemError) as refused:
        documents.read(json.dumps(said))
    assert str(refused.value).startswith(words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cost": -5}, "offers[1].cost: is not between"),
        ({"worth": True}, "offers[1].worth: is not a whole number"),
        ({"team": 7}, "offers[1].team: is not text"),
        ({"pitch": "A"}, "offers[1]: offer full of A is there already"),
        ({"pitch": "A", "offer": "less"}, "offers[1].team: pitch A has another team"),
        ({"tier_costs": {"standard": 1}}, "offers[1].tier_costs: do not add up to the cost"),
    ],
)
def test_a_wrong_offer_is_named_with_its_place(change: dict[str, object], words: str) -> None:
    said = json.loads(documents.canonical(one()))
    said["offers"][1] |= change
    with pytest.raises(ProblemError) as refused:
        documents.read(json.dumps(said))
    assert str(refused.value).startswith(words)


def test_a_process_that_never_chooses_loads_no_solver() -> None:
    code = "import sys, django; django.setup(); import marketplace.urls; print({'numpy', 'highspy'} & {*sys.modules})"
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "marketplace.settings"}

    told = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "set()"
