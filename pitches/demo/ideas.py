"""What the teams of Otterbridge Mutual would like agents to do, as they typed it into the form."""

from dataclasses import dataclass

from ledger.selectors import today
from pitches.demo.people import Company
from pitches.questions import CHECKLIST


@dataclass(frozen=True)
class Work:
    """One workflow: tier, calls a month, tokens in, cached, out, percent that can wait."""

    workflow: str
    tier: str
    calls: int
    tokens: tuple[int, int, int]
    batch: int = 0


@dataclass(frozen=True)
class Idea:
    """One pitch of a team."""

    team: str
    title: str
    summary: str
    problem: str
    value: int
    metric: str
    work: tuple[Work, ...]
    kind: str = "saving"
    evidence: str = "measured"
    data: str = "internal"
    latency: str = "seconds"
    quality: tuple[tuple[str, str, str], ...] = ()
    """Tier, percent of what the tier asked for delivers, how measured."""
    applicants: tuple[tuple[str, str], ...] = ()
    """Name and role of who applies together with the team."""
    ties: tuple[tuple[str, str], ...] = ()
    """Kind, and the title of another pitch of the round."""

    def typed(self, company: Company) -> dict[str, str]:
        """Return it as the fields of the form."""
        fields = {
            "title": self.title,
            "summary": self.summary,
            "problem": self.problem,
            "value_kind": self.kind,
            "value_metric": self.metric,
            "value_p10": f"{self.value * 4 // 10:,}",
            "value_p50": f"{self.value:,}",
            "value_p90": f"{self.value * 18 // 10:,}",
            "value_method": f"{self.metric}, counted in the pilot, times what it costs us today.",
            "evidence": self.evidence,
            "sign_off": company.head(self.team).email,
            "latency": self.latency,
            "stop_behaviour": "fall",
            "quality_bar": "At least 94 of 100 results as two of our people would have done it, checked weekly.",
            "data_class": self.data,
            **{f"compliance-{question.code}": "yes" for question in CHECKLIST},
        }
        return fields | self._rows() | self._parts(company)

    def _parts(self, company: Company) -> dict[str, str]:
        parts = {"quality-TOTAL_FORMS": str(max(len(self.quality), 1))}
        for place, (tier, percent, evidence) in enumerate(self.quality):
            row = {"tier": tier, "percent": percent, "evidence": evidence}
            parts |= {f"quality-{place}-{name}": value for name, value in row.items()}
        for place, (name, role) in enumerate(self.applicants):
            parts |= {f"applicants-{place}-email": company.people[name].email, f"applicants-{place}-role": role}
        return parts | {"applicants-TOTAL_FORMS": str(max(len(self.applicants), 1))}

    def _rows(self) -> dict[str, str]:
        rows = {"items-TOTAL_FORMS": str(len(self.work)), "milestones-TOTAL_FORMS": "2"}
        for place, work in enumerate(self.work):
            tokens_in, cached, out = work.tokens
            values = {
                "workflow": work.workflow,
                "tier": work.tier,
                "calls_target": f"{work.calls:,}",
                "calls_min": f"{work.calls // 2:,}",
                "calls_stretch": f"{work.calls * 3 // 2:,}",
                "input_tokens": f"{tokens_in:,}",
                "cached_tokens": f"{cached:,}",
                "output_tokens": f"{out:,}",
                "batch_percent": str(work.batch),
                "evidence": self.evidence,
            }
            rows |= {f"items-{place}-{name}": value for name, value in values.items()}
        year = today().year + 1
        rows |= {"milestones-0-title": "Pilot with one desk, quality measured", "milestones-0-due_on": f"{year}-01-31"}
        return rows | {"milestones-1-title": "In daily use by the whole team", "milestones-1-due_on": f"{year}-04-30"}


CLAIMS_TRIAGE = Idea(
    "Claims",
    "Claims triage",
    "An agent reads every new claim with its attachments, sorts it by urgency and says what is missing.",
    "Two people read 10,000 claims a month before anybody works on one. Urgent ones wait two days.",
    61_000,
    "Minutes until a claim is on the right desk",
    (Work("Read and sort a claim", "standard", 10_000, (45_000, 30_000, 1500), batch=20),),
    data="personal",
    quality=(("economy", "88", "300 claims of March, sorted by two people as well"),),
    applicants=(("Greta Olsen", "Answers the customers whose claim lacks something"),),
)
CONTRACT_REVIEW = Idea(
    "Legal",
    "Contract review backlog",
    "An agent compares supplier contracts with our standard terms and drafts the list of deviations.",
    "340 contracts wait; a lawyer needs three hours for each.",
    94_000,
    "Contracts reviewed a month",
    (
        Work("Find the deviations", "frontier", 1800, (90_000, 60_000, 4000)),
        Work("Draft the letter", "standard", 1800, (12_000, 4000, 2500)),
    ),
    data="confidential",
    latency="minutes",
)
CODE_MIGRATION = Idea(
    "IT platforms",
    "Legacy code migration",
    "Agents translate the tariff engine's 1.2 million lines, file by file, with tests that both versions must pass.",
    "Eleven people are left who can read it, and four of them retire within two years.",
    180_000,
    "Files migrated with equal results",
    (
        Work("Translate a file", "frontier", 2000, (150_000, 110_000, 8000)),
        Work("Write its tests", "standard", 3000, (60_000, 45_000, 5000), batch=50),
    ),
    kind="risk",
    latency="overnight",
)
LETTERS = Idea(
    "Customer service",
    "Letters that people understand",
    "An agent rewrites standard letters for the case at hand, in plain words.",
    "One letter in five brings a call back that costs eight dollars.",
    27_000,
    "Calls per hundred letters",
    (Work("Rewrite a letter", "standard", 9000, (6000, 3500, 900)),),
    evidence="analogue",
    data="personal",
)
MEETINGS = Idea(
    "IT platforms",
    "Meeting summaries for all",
    "Every meeting gets a summary with decisions and tasks.",
    "Nobody reads minutes, and nobody writes them.",
    9000,
    "Minutes spent on minutes",
    (Work("Summarise a meeting", "frontier", 6000, (30_000, 0, 1500)),),
    kind="capability",
    evidence="guess",
)
MORTGAGE_CHECK = Idea(
    "Mortgages",
    "Mortgage file pre-check",
    "An agent checks that a mortgage file is complete before an underwriter opens it.",
    "One file in three goes back to the customer at least once.",
    38_000,
    "Days from application to decision",
    (Work("Check a file", "standard", 2500, (70_000, 20_000, 1200)),),
    evidence="analogue",
    data="personal",
    latency="minutes",
)
TONE = Idea(
    "Collections",
    "Tone check before sending",
    "An agent reads reminders before they leave and flags those that would hurt more than they collect.",
    "Forty complaints a month are about tone.",
    12_000,
    "Complaints a month",
    (Work("Read a reminder", "economy", 30_000, (2000, 1200, 150)),),
)
KNOWLEDGE = Idea(
    "Customer service",
    "Answers from the handbook",
    "An agent finds the paragraph of the handbook that answers a caller's question, and quotes it.",
    "Callers wait 70 seconds on average while somebody searches.",
    60_000,
    "Seconds until an answer",
    (Work("Find and quote", "standard", 40_000, (9000, 7000, 350)),),
    quality=(("economy", "6", "200 questions; it quotes the paragraph beside"),),
)
INVOICES = Idea(
    "Claims",
    "Repair invoices",
    "An agent compares a garage's invoice with its estimate and lists what was added.",
    "We pay 4 % more than was agreed, and nobody has time to ask.",
    58_000,
    "Dollars per invoice questioned",
    (Work("Compare an invoice", "standard", 7000, (18_000, 6000, 700), batch=60),),
    latency="overnight",
)
COPILOT = Idea(
    "Underwriting",
    "Underwriting copilot",
    "An agent prepares the risk summary that an underwriter signs.",
    "A commercial risk takes a day of reading before an hour of thinking.",
    120_000,
    "Risks quoted per underwriter",
    (
        Work("Summarise a risk", "frontier", 1200, (120_000, 70_000, 5000)),
        Work("Check against the guideline", "standard", 3600, (30_000, 24_000, 800)),
    ),
    kind="revenue",
    data="confidential",
    latency="minutes",
    quality=(("standard", "91.5", "60 risks of last year, read by two underwriters"),),
    applicants=(("Wanda Lis", "Brings the claims history of each risk"),),
)
FRAUD_GRAPH = Idea(
    "Fraud desk",
    "Fraud graph agents",
    "Agents follow links between claims, garages and phone numbers and write up what looks arranged.",
    "Each analyst closes six cases a month; the list grows by ninety.",
    140_000,
    "Cases written up a month",
    (Work("Follow a link", "frontier", 2500, (80_000, 50_000, 3000)),),
    kind="risk",
    data="personal",
    latency="overnight",
    quality=(
        ("standard", "74", "40 closed cases, judged by the desk"),
        ("batch", "74", "The same 40 cases, overnight"),
    ),
    applicants=(("Ben Carter", "Marks arranged claims for the eval"),),
)
DEBT_PLANS = Idea(
    "Collections",
    "Repayment plans",
    "An agent drafts a repayment plan that a customer can keep, from income and spending.",
    "Half of the plans break within three months.",
    52_000,
    "Plans kept after three months",
    (Work("Draft a plan", "standard", 5000, (14_000, 5000, 1200)),),
    evidence="analogue",
    data="personal",
)
TRANSLATION = Idea(
    "Legal",
    "Translations of filings",
    "An agent translates filings between four languages; a lawyer checks the passages that it marks.",
    "We pay 0.11 dollars a word and wait four days.",
    44_000,
    "Words translated in house",
    (Work("Translate a page", "economy", 60_000, (1800, 600, 1100), batch=80),),
    latency="overnight",
    ties=(("requires", "Underwriting copilot"),),
)
INCIDENTS = Idea(
    "IT platforms",
    "Incident first look",
    "An agent reads logs and dashboards when an alarm goes off, and writes what it would check first.",
    "The first twenty minutes of an incident are spent looking for the right dashboard.",
    31_000,
    "Minutes until the cause is named",
    (Work("Look at an alarm", "standard", 4000, (50_000, 35_000, 1800)),),
)
VALUATION = Idea(
    "Mortgages",
    "Second look at valuations",
    "An agent compares a valuation with sales nearby and says where it would ask.",
    "One valuation in forty is far off, and we notice after the loan is paid out.",
    21_000,
    "Valuations corrected in time",
    (Work("Compare a valuation", "economy", 20_000, (40_000, 15_000, 1500)),),
    kind="risk",
)
CALL_NOTES = Idea(
    "Customer service",
    "Call notes",
    "An agent writes the note after a call; the person on the phone checks it and presses send.",
    "Notes take two minutes of every call, forty thousand times a month.",
    73_000,
    "Seconds of work after a call",
    (Work("Write a note", "economy", 40_000, (4000, 1500, 300)),),
    data="personal",
    quality=(("batch", "97", "200 calls, read by those who made them"),),
)
