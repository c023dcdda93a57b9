"""`manage.py solve_selection` reads a file, prints one line of JSON, and says in one line what is wrong."""

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.pitches.selections import large

FILE = {
    "cap": 1000,
    "hurdle": 1.0,
    "seed": "seed",
    "offers": [
        {"pitch": "A", "offer": "full", "team": "red", "tier": "frontier", "cost": 600, "worth": 900},
        {"pitch": "B", "offer": "full", "team": "blue", "tier": "standard", "cost": 500, "worth": 800},
        {"pitch": "C", "offer": "full", "team": "blue", "tier": "standard", "cost": 400, "worth": 700},
    ],
}


def printed(tmp_path: Path, said: object, *arguments: str) -> str:
    file, out = tmp_path / "round.json", io.StringIO()
    file.write_text(json.dumps(said))
    call_command("solve_selection", str(file), *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_a_file_is_solved_without_the_database(tmp_path: Path) -> None:
    assert printed(tmp_path, FILE) == (
        '{"cost":1000,"gap":0,"optimal":true,"selected":[["A","full"],["C","full"]],"worth":1600}\n'
    )


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(FILE)))
    call_command("solve_selection", "-", stdout=out)
    assert json.loads(out.getvalue())["worth"] == 1600


def test_caps_the_reserve_and_pairs_of_the_file_count(tmp_path: Path) -> None:
    limits = {"reserve": 100, "team_cap": 0.6, "tier_caps": {"standard": 0.45}, "requires": [["C", "A"]]}
    assert json.loads(printed(tmp_path, FILE | limits))["selected"] == [["A", "full"]]


def test_out_of_time_it_prints_the_best_and_its_gap(tmp_path: Path) -> None:
    said = json.loads(printed(tmp_path, large(200, "plain", limits=True), "--seconds", "0"))
    assert not said["optimal"]
    assert said["gap"] > 0


def test_a_wrong_file_is_named_with_its_place(tmp_path: Path) -> None:
    offers = [FILE["offers"][0] | {"cost": "6"}]  # type: ignore[index]
    with pytest.raises(CommandError, match=r"^offers\[0\]\.cost: is not a whole number$"):
        printed(tmp_path, FILE | {"offers": offers})
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("solve_selection", str(tmp_path / "nowhere.json"))
