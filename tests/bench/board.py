"""The board at 200 pitches: how long the server takes for the page, for a move and for what comes after it.

Everything goes through the pages that a browser asks, in one process; seconds are the server's, rendering included.
"""

from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from time import perf_counter, process_time
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from pitches.models import BoardMove
from pitches.selectors.board import board_of, board_state, stamp_of
from tests.bench.machine import markdown
from tests.bench.place import own_database
from tests.cast import build_company
from tests.pitches.crowd import deciding
from tests.pitches.stage import Stage, open_stage

PITCHES = 200
MOVES = 21
SCRIPT = {"HX-Request": "true"}

Ask = Callable[[int], Any]


def main() -> str:
    """Measure everything and return the tables."""
    with ExitStack() as stack:
        own_database(stack)
        company = build_company()
        stage = open_stage(company, cap="4000000", funded="90000000")
        deciding(stage, PITCHES)
        client = company.client(company.gil)
        client.defaults["SERVER_NAME"] = "localhost"
        return _table(stage, client)


def _table(stage: Stage, client: Client) -> str:
    base = f"/admin/pitches/round/{stage.round.pk}/board/"
    rows = board_of(stage.company.gil, stage.round, seconds=30).rows
    out = [row.pk for row in rows if row.code == "displaced"]

    stamp = stamp_of(stage.company.gil, stage.round.pk)

    def move(what: str, cap: int) -> Any:
        version = board_state(stage.round).version
        return client.post(f"{base}move/", {"move": what, "cap": str(cap), "version": str(version)}, headers=SCRIPT)

    def slide(number: int) -> Any:
        return move("slide", 2_000_000 + 150_000 * number)

    cases: list[tuple[str, Ask]] = [
        ("the page", lambda _: client.get(base)),
        ("nothing new", lambda _: client.get(f"{base}live/?stamp={stamp}")),
        ("a move of the slider", slide),
        ("the slider back where it was", slide),
        ("a pitch held in", lambda number: move(f"force_in:{out[number % len(out)]}", 0)),
        ("one price", lambda number: client.get(f"{base}prices/?p={out[-1 - number % len(out)]}")),
    ]
    found = [[name, *_measured(ask, name)] for name, ask in cases]
    moves = list(BoardMove.objects.filter(round=stage.round).values_list("proved", flat=True))
    title = f"{PITCHES} pitches, {sum(len(row.offers) for row in rows):,} offers; {sum(map(bool, moves))} of "
    table = markdown(["asked for", "median, ms", "worst, ms", "CPU, median, ms", "queries"], found)
    return f"{title}{len(moves)} moves proved at once\n\n{table}"


def _measured(ask: Ask, name: str) -> list[str]:
    ask(0)
    walls, cpus, queries = [], [], 0
    for number in range(MOVES):
        with CaptureQueriesContext(connection) as asked:
            wall, cpu = perf_counter(), process_time()
            answer = ask(number)
            walls.append(perf_counter() - wall)
            cpus.append(process_time() - cpu)
        if answer.status_code not in {200, 204}:
            raise RuntimeError(f"{name}: {answer.status_code}")
        queries = len(asked)
    return [f"{median(walls) * 1000:.0f}", f"{max(walls) * 1000:.0f}", f"{median(cpus) * 1000:.0f}", str(queries)]
