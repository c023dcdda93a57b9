"""Streams that are open and say nothing are what a gateway has most of: each may take only so much memory."""

import pytest

from tests.bench.streams import measure
from tests.conftest import FreshDatabase

pytestmark = pytest.mark.slow

MOST_KIB = 36


def test_a_thousand_idle_streams_take_little_memory_and_each_is_held(fresh_database: FreshDatabase) -> None:
    idle = measure(fresh_database.env, 1_200)

    assert idle.streams == 1_000
    assert idle.calls_held == 1_200
    assert idle.kib_each < MOST_KIB
