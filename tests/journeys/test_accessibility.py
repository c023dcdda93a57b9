"""Every page as each role finds it in the demo: nothing that axe calls serious, no thin contrast, no errors."""

import pytest

from tests.journeys.browser import chromium
from tests.screenshots import SHOTS, Studio, tank, traffic

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_no_page_shuts_anybody_out() -> None:
    with chromium() as browser, tank() as (base, demo):
        traffic(base, demo)
        studio = Studio(browser, base, demo["password"], "light")

        for shot in SHOTS:
            studio.look(shot, picture=False)

    assert studio.faults == []
