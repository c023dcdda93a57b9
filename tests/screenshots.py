"""Take a picture of every page, light, dark and 390 px wide, into var/screenshots/: `python -m tests.screenshots`.

Starts Tank with its demo data in a folder of its own, logs in as each role, and says at the end what a picture
does not show: errors in the console, what axe calls serious, words with too little contrast, pages that scroll
sideways. Exits with 1 then.
Names given as arguments choose pictures whose name begins with one of them.
"""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, Page

from tests.accessibility import serious_findings
from tests.journeys.browser import chromium
from tests.processes import MANAGE, ROOT, Running, answers, free_port, start_process

SETTINGS = {"DJANGO_SETTINGS_MODULE": "marketplace.settings"}
OUT = ROOT / "var" / "screenshots"
MOST = 5  # faults told of one picture
Theme = Literal["light", "dark"]
MODES: dict[str, tuple[int, Theme]] = {"light": (1280, "light"), "dark": (1280, "dark"), "narrow": (390, "light")}
LEAD, OTHER_LEAD, MEMBER, CHAIR, SEAT = "amara.nwosu", "farid.haddad", "ben.carter", "ines.okafor", "priya.raman"
RECUSED, JONAS, LEGAL_LEAD = "lena.fischer", "jonas.weber", "irina.petrova"
HEAD, FINANCE, OPERATOR, AUDITOR = "victor.lindqvist", "helen.marsh", "noor.de.vries", "judit.kovacs"


@dataclass(frozen=True)
class Shot:
    """One picture: its name, who looks, and the addresses to go to, one after the other.

    An address that begins with "/" is opened. After "~" stands a pattern and after "=" the words of a link: the
    first one on the page that fits is followed.
    """

    name: str
    who: str
    way: Sequence[str]
    press: str = ""
    """The button to press at the end, after filling the field `fill` with words, and `more` fields with an address."""
    fill: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


SHOTS = [
    Shot("login", "", ["/account/login/"]),
    Shot("password-reset", "", ["/account/password/reset/"]),
    Shot("home-lead", LEAD, ["/"]),
    Shot("home-member", MEMBER, ["/"]),
    Shot("home-committee", SEAT, ["/"]),
    Shot("home-chair", CHAIR, ["/"]),
    Shot("home-unit-head", HEAD, ["/"]),
    Shot("home-finance", FINANCE, ["/"]),
    Shot("home-operator", OPERATOR, ["/"]),
    Shot("inbox", LEAD, ["/inbox/"]),
    Shot("profile", LEAD, ["/profile/"]),
    Shot("tokens", LEAD, ["/profile/tokens/"]),
    Shot("token-error", LEAD, ["/profile/tokens/"], press="Make it", fill="name"),
    Shot("api", FINANCE, ["/api/v1/docs/"]),
    Shot("password-change", LEAD, ["/account/password/change/"]),
    Shot("teams", HEAD, ["/teams/"]),
    Shot("team", LEAD, ["/teams/", r"~/teams/claims/$"]),
    Shot("team-error", LEAD, ["/teams/claims/"], press="Add", fill="email"),
    Shot("team-member", LEAD, ["/teams/claims/", r"~/members/\d+/$"]),
    Shot("people", OPERATOR, ["/people/"]),
    Shot("allocations", FINANCE, ["/allocations/"]),
    Shot("allocation", LEAD, ["/allocations/", r"~/allocations/A-\d+/$"]),
    Shot("allocation-suspend", FINANCE, ["/allocations/A-0001/", r"~/suspend/$"]),
    Shot("line-tokens", LEAD, ["/allocations/", r"~/allocations/A-\d+/$", r"~/lines/\w+/tokens/$"]),
    Shot("key-new", LEAD, ["/allocations/", r"~/allocations/A-\d+/$", r"~/keys/new/$"]),
    Shot("key-secret", LEAD, ["/allocations/", r"~/A-\d+/$", r"~/keys/new/$"], press="Issue the key", fill="name"),
    Shot("key", LEAD, ["/allocations/", r"~/allocations/A-\d+/$", "=first-steps"]),
    Shot("key-limits", LEAD, ["/allocations/", r"~/allocations/A-\d+/$", "=first-steps", r"~/limits/$"]),
    Shot("key-stop", LEAD, ["/allocations/", r"~/allocations/A-\d+/$", r"~/keys/\d+/$", r"~/stop/$"]),
    Shot("year-ends", FINANCE, ["/allocations/year-end/"]),
    Shot("year-end", FINANCE, ["/allocations/year-end/", r"~/year-end/\w+/$"]),
    Shot("live", LEAD, ["/allocations/live/"]),
    Shot("live-one", LEAD, ["/allocations/", r"~/allocations/A-\d+/$", r"~/live/\?allocation="]),
    Shot("live-finance", FINANCE, ["/allocations/live/"]),
    Shot("live-empty", FINANCE, ["/allocations/live/?busy=1"]),
    Shot("webhooks-empty", OTHER_LEAD, ["/webhooks/"]),
    Shot("webhook-error", LEAD, ["/webhooks/"], press="Add it", fill="name"),
    Shot(
        "webhook-secret",
        LEAD,
        ["/webhooks/"],
        press="Add it",
        fill="name",
        more={"url": "https://hooks.otterbridge.example/"},
    ),
    Shot("webhooks", LEAD, ["/webhooks/"]),
    Shot("webhook-new", LEAD, ["/webhooks/", r"~/webhooks/\d+/$"]),
    Shot("webhook-tested", LEAD, ["/webhooks/", r"~/webhooks/\d+/$"], press="Send a test event"),
    Shot("webhook", LEAD, ["/webhooks/", r"~/webhooks/\d+/$"]),
    Shot("unsettled", FINANCE, ["/allocations/unsettled/"]),
    Shot("settle", FINANCE, ["/allocations/unsettled/", r"~/unsettled/\d+/\d+/$"]),
    Shot("rounds", LEAD, ["/rounds/"]),
    Shot("round", LEAD, ["/rounds/", r"~/rounds/\d+/$"]),
    Shot("calendar", LEAD, ["/rounds/calendar/"]),
    Shot("sealed", FINANCE, ["/rounds/", r"~/rounds/\d+/$", r"~/sealed/$"]),
    Shot("screening", OPERATOR, ["/screening/"]),
    Shot("pitches", LEAD, ["/pitches/"]),
    Shot("pitch", LEAD, ["/pitches/", r"~/pitches/\d+/$"]),
    Shot("pitch-new", LEAD, ["/pitches/new/"]),
    Shot("pitch-edit", LEAD, ["/pitches/", "=Photos of damage", "=Go on writing"]),
    Shot("pitch-again", LEAD, ["/pitches/", "=Claims triage", "=Begin another from it"]),
    Shot("pitch-questions", LEAD, ["/pitches/", "=Claims triage", r"~/questions/$"]),
    Shot("pitch-search", LEAD, ["/pitches/?q=claims"]),
    Shot("offer", OTHER_LEAD, ["/", "~/offer/$"]),
    Shot("ledger", FINANCE, ["/ledger/"]),
    Shot("trial-balance", FINANCE, ["/ledger/trial-balance/"]),
    Shot("account", FINANCE, ["/ledger/trial-balance/", r"~/accounts/pool:"]),
    Shot("journal", AUDITOR, ["/ledger/journal/"]),
    Shot("entry", AUDITOR, ["/ledger/journal/?kind=award", r"~/journal/J-\d+/$"]),
    Shot("entry-usage", AUDITOR, ["/ledger/journal/?kind=usage", r"~/journal/J-\d+/$", r"~/usage/$"]),
    Shot("rates", FINANCE, ["/ledger/rates/"]),
    Shot("budget", FINANCE, ["/ledger/budget/"]),
    Shot("budget-cut", FINANCE, ["/ledger/budget/", r"~/cut/$"]),
    Shot("budget-lapse", FINANCE, ["/ledger/budget/", r"~/lapse/$"]),
    Shot("budget-convert", FINANCE, ["/ledger/budget/", r"~/convert/$"]),
    Shot("periods", FINANCE, ["/ledger/periods/"]),
    Shot("period", FINANCE, ["/ledger/periods/", r"~/periods/\d{4}-01/$"]),
    Shot("corrections", FINANCE, ["/ledger/corrections/"]),
    Shot("reconciliation", FINANCE, ["/ledger/reconciliation/"]),
    Shot("reconciliation-lines", FINANCE, ["/ledger/reconciliation/lines/"]),
    Shot("reconciliation-waits", FINANCE, ["/ledger/reconciliation/lines/?waits=1"]),
    Shot("reconciliation-line", FINANCE, ["/ledger/reconciliation/lines/?waits=1", r"~/reconciliation/lines/\d+/$"]),
    Shot("reconciliation-feed", OPERATOR, ["/ledger/reconciliation/feeds/", r"~/reconciliation/feeds/\d+/$"]),
    Shot("reconciliation-key", FINANCE, ["/ledger/reconciliation/keys/", r"~/reconciliation/keys/\d+/$"]),
    Shot("reconciliation-error", FINANCE, ["/ledger/reconciliation/lines/?from=2026-03-02&to=2026-03-01"]),
    Shot("reconciliation-decisions", AUDITOR, ["/ledger/reconciliation/decisions/"]),
    Shot("reconciliation-clearing", AUDITOR, ["/ledger/reconciliation/clearing/"]),
    Shot("reconciliation-feeds", OPERATOR, ["/ledger/reconciliation/feeds/"]),
    Shot("feed-error", OPERATOR, ["/ledger/reconciliation/feeds/new/"], press="Add it", fill="project"),
    Shot("reconciliation-keys", OPERATOR, ["/ledger/reconciliation/keys/"]),
    Shot("reconciliation-names", FINANCE, ["/ledger/reconciliation/names/"]),
    Shot("reconciliation-policies", FINANCE, ["/ledger/reconciliation/policies/"]),
    Shot("reconciliation-policy", FINANCE, ["/ledger/reconciliation/policies/sandbox/"]),
    Shot("invoices", FINANCE, ["/ledger/invoices/"]),
    Shot("invoice-new", FINANCE, ["/ledger/invoices/new/"]),
    Shot("invoice-import", FINANCE, ["/ledger/invoices/import/"]),
    Shot("feed-import", FINANCE, ["/ledger/reconciliation/import/"]),
    Shot("feed-new", FINANCE, ["/ledger/reconciliation/import/new/"]),
    Shot("adjustment-new", FINANCE, ["/ledger/corrections/new/"]),
    Shot("reports", FINANCE, ["/ledger/reports/"]),
    Shot("report-denials", FINANCE, ["/ledger/reports/", r"~/denials/$"]),
    Shot("report-chargeback", FINANCE, ["/ledger/reports/", r"~/chargeback/$"]),
    Shot("report-savings", FINANCE, ["/ledger/reports/", r"~/savings/$"]),
    Shot("report-reconciliation", AUDITOR, ["/ledger/reports/", r"~/provider-reconciliation/$"]),
    Shot("report-statement", AUDITOR, ["/ledger/reports/account-statement/?account=metered:sandbox"]),
    Shot("report-error", FINANCE, ["/ledger/reports/chargeback/?from=2026-02-31&team=nobody"]),
    Shot("committee-rounds", CHAIR, ["/admin/pitches/round/"]),
    Shot("committee-desk", CHAIR, ["/admin/pitches/round/", "=2026 round 4"]),
    Shot("committee-read", SEAT, ["/admin/pitches/round/", "=2026 round 4", r"~/round/pitch/\d+/$"]),
    Shot("committee-ballot", SEAT, ["/admin/pitches/round/", "=2026 round 4", r"~/ballot/$"]),
    Shot("committee-offers", CHAIR, ["/admin/pitches/round/", "=2026 round 2", r"~/offers/$"]),
    Shot("committee-offer", CHAIR, ["/admin/pitches/round/", "=2026 round 2", r"~/offers/$", r"~/pitch/\d+/offer/$"]),
    Shot("committee-declaration", JONAS, ["/admin/pitches/round/", "=2026 round 4", r"~/declare/$"]),
    Shot("board", CHAIR, ["/admin/pitches/round/", "=2026 round 3", r"~/board/$"]),
    Shot("board-recused", RECUSED, ["/admin/pitches/round/", "=2026 round 3", r"~/board/$"]),
    Shot("choice", CHAIR, ["/admin/pitches/round/", "=2026 round 3", r"~/decide/$"]),
    Shot("choice-recused", RECUSED, ["/admin/pitches/round/", "=2026 round 3", r"~/decide/$"]),
    Shot("choice-pitch", CHAIR, ["/admin/pitches/round/", "=2026 round 3", r"~/decide/$", r"~/pitch/\d+/decide/$"]),
    Shot("choice-override", CHAIR, ["/admin/pitches/round/", "=2026 round 3", r"~/decide/$", r"~/override/$"]),
    Shot("choice-review", SEAT, ["/admin/pitches/round/", "=2026 round 3", r"~/round/pitch/\d+/$"]),
    Shot("minutes", CHAIR, ["/admin/pitches/round/", "=2026 round 3", r"~/minutes/$"]),
    Shot("minutes-published", CHAIR, ["/admin/pitches/round/", "=2026 round 2", r"~/minutes/$"]),
    Shot("choice-published", CHAIR, ["/admin/pitches/round/", "=2026 round 2", r"~/decide/$"]),
    Shot("results-round", OTHER_LEAD, ["/rounds/", "=2026 round 2"]),
    Shot("results", OTHER_LEAD, ["/rounds/", "=2026 round 2", r"~/results/$"]),
    Shot("results-pitch", OTHER_LEAD, ["/rounds/", "=2026 round 2", "=Answers from the handbook"]),
    Shot("results-receipts", SEAT, ["/rounds/", "=2026 round 2", r"~/receipts/$"]),
    Shot("offer-promoted", LEGAL_LEAD, ["/", r"~/offer/$"]),
    Shot("committee-assignments", CHAIR, ["/admin/pitches/round/", "=2026 round 4", r"~/assignments/$"]),
    Shot("committee-clone", CHAIR, ["/admin/pitches/round/", "=2026 round 4", r"~/clone/$"]),
    Shot("committee-members", CHAIR, ["/admin/pitches/round/", "=2026 round 4", r"~/committee/$"]),
    Shot("committee-calendar", CHAIR, ["/admin/pitches/round/", "=2026 round 5", r"~/calendar/$"]),
    Shot("admin", OPERATOR, ["/admin/"]),
    Shot("admin-users", OPERATOR, ["/admin/teams/user/"]),
    Shot("admin-user", OPERATOR, ["/admin/teams/user/", r"~/teams/user/\d+/change/"]),
    Shot("admin-history", AUDITOR, ["/admin/teams/auditevent/"]),
    Shot("not-found", LEAD, ["/no/such/page/"]),
]

# What the demo does not have: a year that is over and not returned, an exchange rate, and calls that were lost.
ARRANGE = """
import django
django.setup()
from datetime import timedelta
from decimal import Decimal
from django.db import connection
from allocations.models import Allocation, KeyState, QuotaKey, StopBehaviour
from allocations.services import KeyLimits, allocation_create, allocation_expire, key_limits_set, line_tokens_set
from allocations.services import threshold_alerts_raise
from ledger.models import EntryKind, Tier
from ledger.money import usd
from ledger.selectors import current_fiscal_year, reserve_account, today
from ledger.services import exchange_rate_record, fiscal_year_open, year_fund
from teams.selectors import system_user
from tests.budget import Till

actor, now = system_user(), current_fiscal_year()
over = fiscal_year_open(actor=actor, first_day=now.starts_on.replace(year=now.starts_on.year - 1))
year_fund(actor=actor, amount=usd(5000), reason="Budget of the year", year=over)
team = Allocation.objects.order_by("pk").last().team
for name, amount, days in (("Letters by machine", "1200", 40), ("Fraud graph, first try", "310.5", -9)):
    made = allocation_create(
        actor=actor, team=team, owner=actor, name=name, lines={Tier.STANDARD: Decimal(amount)}, kind=EntryKind.GRANT,
        funded_from=reserve_account(over), starts_on=over.starts_on, ends_on=today() - timedelta(days=days),
        stop_behaviour=StopBehaviour.STOP, reason="A grant", key=name)
    if days > 0:
        allocation_expire(actor=actor, allocation=made)
exchange_rate_record(actor=actor, base="USD", quote="EUR", valid_on=today(), rate=Decimal("0.9235"), source="ECB")
first = QuotaKey.objects.get(name="first-steps")
limits = KeyLimits(cap=Decimal(50), day_cap=Decimal("0.05"), month_cap=Decimal(20), month_tokens=100_000,
                   requests_per_minute=600, tokens_per_minute=50_000, calls_at_once=8)
key_limits_set(actor=actor, key=first, limits=limits, reason="A start")
line_tokens_set(actor=actor, line=first.allocation.lines.get(tier=Tier.STANDARD), tokens=10**8, reason="A start")
key = QuotaKey.objects.filter(state=KeyState.ACTIVE).order_by("pk").first()
key_limits_set(actor=actor, key=key, limits=KeyLimits(cap=Decimal(100), day_cap=Decimal(5)), reason="A start")
threshold_alerts_raise()
till, line = Till(), key.allocation.lines.order_by("pk").first()
till.admit(key, line, "0.0125", tokens=1_250)
till.admit(key, line, "0.75", tokens=75_000)
till.die()
with connection.cursor() as cursor:
    cursor.execute(
        "UPDATE allocations_meterworker SET host = 'gateway-2', started_at = now() - interval '9 hours',"
        " heartbeat_at = now() - interval '2 hours' WHERE id = %s", [till.worker])
"""

# What a picture does not show. Large or heavy words need 3:1, others 4.5:1; words that cannot be used need nothing.
FAULTS = """() => {
  const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  const mixed = (over, under) => over.slice(0, 3).map((part, i) => part * over[3] + under[i] * (1 - over[3]));
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(rgba(getComputedStyle(at).backgroundColor));
    return layers.reduce((under, over) => mixed(over, under), [255, 255, 255]);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const found = [];
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) found.push(`scrolls sideways by ${wide} px`);
  // The rest of the admin is not ours to colour.
  const ours = location.pathname.startsWith("/admin/") ? ".tank *" : "body *";
  for (const element of document.querySelectorAll(ours)) {
    const words = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
    const style = getComputedStyle(element);
    if (!words || !element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true})) continue;
    if (element.closest("svg, [disabled], .visually-hidden, .skip, option")) continue;
    const under = ground(element), over = mixed(rgba(style.color), under);
    const [a, b] = [light(under), light(over)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.6 && +style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)}: ${words.slice(0, 40)}`);
  }
  return [...new Set(found)];
}"""


@dataclass
class Studio:
    """A browser in one mode, with one context per person, and what went wrong so far."""

    browser: Browser
    base: str
    password: str
    mode: str
    faults: list[str] = field(default_factory=list)
    contexts: dict[str, BrowserContext] = field(default_factory=dict)
    noise: list[str] = field(default_factory=list)

    def look(self, shot: Shot, *, picture: bool = True) -> None:
        """Go the way of a picture, take it, and note what it does not show."""
        page = self.context(shot.who).new_page()
        self.noise = []
        page.on("console", lambda message: self.noise.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.noise.append(str(error)))
        if self.walk(page, shot):
            page.wait_for_load_state("networkidle")
            page.evaluate("document.fonts.ready")
            self.note(shot, [*page.evaluate(FAULTS), *serious_findings(page), *self.heard(shot)])
            if picture:
                page.screenshot(path=OUT / f"{shot.name}-{self.mode}.png", full_page=True)
        page.close()

    def walk(self, page: Page, shot: Shot) -> bool:
        """Open the addresses, follow the links, press the button; False when a link is not there."""
        for step in shot.way:
            address = step if step.startswith("/") else link(page, step)
            if address is None:
                self.note(shot, [f"no link fits {step}"])
                return False
            page.goto(address)
        if shot.press:
            words = "nobody@nowhere.example" if shot.fill == "email" else f"demo {self.mode}"
            for name, filled in ({shot.fill: words} if shot.fill else {}).items() | shot.more.items():
                page.fill(f"[name={name}]", filled + self.mode if name in shot.more else filled)
            page.get_by_role("button", name=shot.press, exact=True).click()
            page.wait_for_load_state()
        return True

    def heard(self, shot: Shot) -> list[str]:
        """Return what the console said, but for the answer that a picture is about."""
        refused = (
            "team-error",
            "report-error",
            "reconciliation-error",
            "feed-error",
            "token-error",
            "webhook-error",
        )
        statuses = {"not-found": "404"} | dict.fromkeys(refused, "422")
        expected = statuses.get(shot.name, "no such status")
        return [words for words in self.noise if expected not in words]

    def note(self, shot: Shot, found: Sequence[str]) -> None:
        """Keep what is wrong with a picture, the first few of many."""
        more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
        self.faults += [f"{shot.name}-{self.mode}: {fault}" for fault in [*found[:MOST], *more]]

    def context(self, who: str) -> BrowserContext:
        """Return a browser of somebody's own, logged in."""
        if who not in self.contexts:
            width, theme = MODES[self.mode]
            context = self.browser.new_context(
                base_url=self.base, viewport={"width": width, "height": 900}, color_scheme=theme
            )
            self.contexts[who] = context
            if who:
                self._log_in(context.new_page(), who)
        return self.contexts[who]

    def _log_in(self, page: Page, who: str) -> None:
        page.goto("/account/login/")
        page.fill("[name=login]", f"{who}@otterbridge.example")
        page.fill("[name=password]", self.password)
        page.get_by_role("button", name="Log in", exact=True).click()
        page.wait_for_url(self.base + "/")
        page.close()


def link(page: Page, step: str) -> str | None:
    """Return the address of the first link on a page that fits a step: "~pattern" or "=words"."""
    find = "all => all.map(a => [a.href, a.textContent.trim()])"
    links: list[tuple[str, str]] = page.eval_on_selector_all("main a[href], #content a[href]", find)
    kind, wanted = step[0], step[1:]
    fits = (address for address, words in links if (words == wanted if kind == "=" else re.search(wanted, address)))
    return next(fits, None)


@contextmanager
def tank() -> Iterator[tuple[str, dict[str, Any]]]:
    """Start Tank with its demo data in a folder of its own; gives its address and the demo's logins."""
    with TemporaryDirectory() as folder:
        port = free_port()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DATABASE_", "PYTEST", "TANK_"))}
        env = kept | SETTINGS | {"TANK_DATA": folder, "PORT": str(port)}
        base = f"http://127.0.0.1:{port}"

        def ready(_: Running) -> bool:
            return answers(f"{base}/readyz")

        with start_process([*MANAGE, "up", "--port", str(port)], env, ready=ready, within=300) as running:
            subprocess.run([sys.executable, "-c", ARRANGE], env=env, cwd=ROOT, check=True)
            yield base, json.loads((Path(folder) / "demo.json").read_text())
            running.process.terminate()
            running.ended(within=60)


def traffic(base: str, demo: dict[str, Any]) -> None:
    """Make calls with the demo's key: some that are over, some that stay in flight, some that are refused."""
    kinds = [(demo["model"], 0)] * 6 + [("no-such-model", 0)] * 3 + [(demo["model"], 500_000)] * 4
    for model, delay in kinds:
        words = {"model": model, "max_tokens": 400, "messages": [{"role": "user", "content": "Hello"}]}
        headers = {
            "authorization": f"Bearer {demo['key']}",
            "content-type": "application/json",
            "x-sandbox-delay-ms": str(delay),
        }
        request = urllib.request.Request(f"{base}/v1/chat/completions", json.dumps(words).encode(), headers)
        call = threading.Thread(target=_call, args=[request], daemon=True)
        call.start()
        call.join(0 if delay else 30)


def _call(request: urllib.request.Request) -> None:
    with suppress(OSError), urllib.request.urlopen(request) as answer:
        answer.read()


def main(wanted: Sequence[str]) -> int:
    """Take the pictures; returns 1 when something is wrong with one."""
    OUT.mkdir(parents=True, exist_ok=True)
    shots = [shot for shot in SHOTS if not wanted or shot.name.startswith(tuple(wanted))]
    faults: list[str] = []
    with tank() as (base, demo), chromium() as browser:
        traffic(base, demo)
        for mode in MODES:
            studio = Studio(browser, base, demo["password"], mode)
            for shot in shots:
                studio.look(shot)
            faults += studio.faults
            for context in studio.contexts.values():
                context.close()
    sys.stdout.write(f"{len(shots) * len(MODES)} pictures in {OUT}\n" + "".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
