"""A small fire in the suite; `python -m tests.bench fire` sets the large one."""

import pytest

from tests.bench.fire import Size, blaze
from tests.conftest import FreshDatabase

pytestmark = pytest.mark.slow


def test_the_books_are_exact_while_gateways_are_killed_at_random(fresh_database: FreshDatabase) -> None:
    outcome = blaze(fresh_database, Size(clients=200, processes=3, seconds=8, kill_every=2, rest=0.2))

    assert outcome.kills >= 2
    assert outcome.whole > 0
    assert outcome.denied > 0
    assert outcome.samples > 0
