"""A round that is open, for every story about pitches."""

import pytest

from tests.cast import Company
from tests.pitches.stage import Stage, open_stage


@pytest.fixture
def stage(company: Company) -> Stage:
    """Give a story an open round of 10,000 dollars, 9,000 of which can be awarded."""
    return open_stage(company)
