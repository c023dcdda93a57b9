"""What axe finds on a page: https://github.com/dequelabs/axe-core, from the package axe-playwright-python."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SERIOUS = frozenset({"serious", "critical"})
_axe = Axe()


def serious_findings(page: Page) -> list[str]:
    """Return the findings of axe that it calls serious or critical: the rule, and where it is broken first."""
    found = _axe.run(page).response["violations"]
    return [_told(one) for one in found if one["impact"] in SERIOUS]


def _told(finding: dict[str, Any]) -> str:
    places = finding["nodes"]
    first = " ".join(map(str, places[0]["target"]))
    return f"{finding['id']}: {finding['help']} ({len(places)} times, first at {first})"
