"""A large file of a provider's figures in a real browser: its page goes on by itself, from check to import."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from ledger.models import Feed
from ledger.providers.csv_file import lines_of
from ledger.services.feed_files import AT_ONCE_BYTES
from teams.models import User
from tests.accessibility import serious_findings
from tests.budget import open_budget
from tests.cast import build_company
from tests.conftest import FreshDatabase
from tests.journeys.site import Site, running_site
from tests.ledger.test_feed_files import day_before, opened
from tests.ledger.test_file_runs import WORKER
from tests.processes import start_process

pytestmark = [pytest.mark.browser, pytest.mark.slow]

IMPORT = "/ledger/reconciliation/import/"


@pytest.fixture
def feed(fresh_database: FreshDatabase) -> Feed:
    return opened(open_budget(build_company()), "plain")


@pytest.fixture
def site(fresh_database: FreshDatabase, feed: Feed) -> Iterator[Site]:
    users = {user.email.partition("@")[0]: user for user in User.objects.filter(email__endswith="@acorn.example")}
    with running_site(fresh_database, users) as site:
        yield site


def large() -> bytes:
    """Return a file that is just too large to be read at once."""
    row = f"{day_before(1)},gpt-6-astra,key_01,1,1000,70,0.000125,USD\n".encode()
    return b"day,model,key,requests,input_tokens,output_tokens,amount,currency\n" + row * (
        AT_ONCE_BYTES // len(row) + 1
    )


def test_a_large_file_goes_from_the_form_to_its_import(site: Site, fresh_database: FreshDatabase, feed: Feed) -> None:
    body = large()
    lines = f"{lines_of(body):,}"
    page = site.person("hana").page
    page.goto(IMPORT)
    page.get_by_label("Feed").select_option(label="sandbox: CSV")
    page.get_by_label("File", exact=True).set_input_files(
        {"name": "october.csv", "mimeType": "text/csv", "buffer": body}
    )
    page.get_by_role("button", name="Check it").click()

    expect(page.locator("#file-progress")).to_contain_text("Waits to be checked; it begins when a worker is free.")
    assert serious_findings(page) == []
    with start_process(WORKER, fresh_database.env):
        expect(page.get_by_text("Nothing is wrong with october.csv")).to_be_visible(timeout=120_000)
        assert serious_findings(page) == []
        page.get_by_role("button", name="Import all of it").click()
        expect(page.get_by_role("link", name="F-1")).to_be_visible(timeout=120_000)

    assert f"{lines} lines" in page.get_by_role("main").inner_text()
    page.goto(IMPORT)
    expect(page.get_by_role("region", name="Large files, table")).to_contain_text("Imported as F-1")
    assert site.complaints == []
