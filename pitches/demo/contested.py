"""The ideas of the two rounds that ask for far more than there is: one is published, one is being decided."""

from pitches.demo.ideas import Idea, Work

BROKER_MAIL = Idea(
    "Underwriting",
    "Broker mail answered",
    "An agent drafts the answer to a broker's question from the tariff and the file; an underwriter sends it.",
    "Nine thousand questions a month, and brokers who wait go to somebody else.",
    48_000,
    "Hours until a broker has an answer",
    (Work("Draft an answer", "standard", 9000, (12_000, 8000, 900)),),
    kind="revenue",
    quality=(("economy", "9", "120 questions of May, judged by two underwriters"),),
)
TWICE_BILLED = Idea(
    "Fraud desk",
    "Bills that come twice",
    "An agent compares every new bill with those of the last two years and says which one it has seen before.",
    "One bill in four hundred is paid twice; we find half of them, by luck.",
    37_000,
    "Dollars not paid twice",
    (Work("Compare a bill", "standard", 6000, (22_000, 14_000, 500)),),
    quality=(("economy", "8", "200 bills with 20 planted among them"),),
)
PAYMENT_NOTES = Idea(
    "Collections",
    "Payment notes read",
    "An agent reads what customers write into the reference line and books the payment to the right debt.",
    "A fifth of all payments is booked by hand, two days late.",
    21_000,
    "Payments booked by hand",
    (Work("Read a note", "economy", 300_000, (1600, 1000, 90)),),
    data="personal",
)
COURT_DATES = Idea(
    "Legal",
    "Dates in court letters",
    "An agent finds every date in a letter from a court and puts it into the calendar with its consequence.",
    "Three people copy dates all day; a missed one costs the case.",
    16_000,
    "Letters filed within the hour",
    (Work("Find the dates in a letter", "economy", 150_000, (4000, 1500, 120)),),
    kind="risk",
)
INTRANET = Idea(
    "IT platforms",
    "Intranet search in full sentences",
    "Staff ask the intranet in their own words and get an answer with its page.",
    "The search finds everything but what one looks for.",
    8_000,
    "Minutes spent searching",
    (Work("Answer a question", "frontier", 5000, (40_000, 10_000, 700)),),
    kind="capability",
    evidence="guess",
    quality=(("standard", "14", "Thirty questions of our own"), ("economy", "2", "The same thirty questions")),
)

FLOOD_NOTES = Idea(
    "Underwriting",
    "Flood notes for each address",
    "An agent reads the hazard maps and surveys about an address and writes the note that the underwriter needs.",
    "The note takes forty minutes, so nine risks in ten have none.",
    150_000,
    "Risks with a note",
    (Work("Write a note", "frontier", 1600, (90_000, 55_000, 2500)),),
    kind="risk",
    quality=(
        ("standard", "62", "50 addresses with a known loss"),
        ("economy", "6", "The same 50 addresses"),
    ),
)
SMALL_RISKS = Idea(
    "Underwriting",
    "Small risks quoted at once",
    "An agent prepares the quote for a shop or an office while the broker is on the phone.",
    "Half of the small risks go elsewhere before we answer.",
    92_000,
    "Quotes given within ten minutes",
    (Work("Prepare a quote", "standard", 8000, (26_000, 15_000, 1400)),),
    kind="revenue",
    quality=(("economy", "21", "150 quotes of last year, priced again"),),
)
PHONE_LINKS = Idea(
    "Fraud desk",
    "Phone numbers that come back",
    "An agent says in which other claims a phone number, an account or a garage has turned up, and how.",
    "An analyst looks up twelve systems for each suspicion.",
    78_000,
    "Suspicions cleared a day",
    (Work("Look for links", "standard", 5000, (48_000, 30_000, 1200)),),
    kind="risk",
    data="personal",
    quality=(("economy", "9", "60 closed suspicions"),),
)
LAND_REGISTER = Idea(
    "Mortgages",
    "Land register extracts",
    "An agent reads an extract and lists owners, charges and rights of way, with the line that says so.",
    "An extract has thirty pages and takes an hour; we read four hundred a week.",
    69_000,
    "Minutes for an extract",
    (Work("Read an extract", "standard", 1700, (95_000, 20_000, 3000)),),
    quality=(("economy", "6", "80 extracts, against the clerk's list"),),
)
INCOME_PROOFS = Idea(
    "Mortgages",
    "Proof of income checked",
    "An agent reads pay slips and tax returns and computes what a household can spend.",
    "Every third file is computed twice because a page was missed.",
    18_000,
    "Files computed once",
    (Work("Read a page", "economy", 60_000, (8000, 2000, 300)),),
    data="personal",
    evidence="analogue",
    ties=(("requires", "Land register extracts"),),
)
COMPLAINTS = Idea(
    "Customer service",
    "Complaints answered in a day",
    "An agent drafts the answer to a complaint, with what we know about the case; a person decides and signs.",
    "A complaint waits six days, and every second one comes back angrier.",
    84_000,
    "Days until an answer",
    (Work("Draft an answer", "standard", 6000, (32_000, 20_000, 1800)),),
    data="personal",
    quality=(("economy", "31", "100 complaints, judged blind"),),
)
NIGHT_CHAT = Idea(
    "Customer service",
    "Chat after eight in the evening",
    "An agent answers simple questions in the chat at night and notes the others for the morning.",
    "A third of all questions come when nobody is here.",
    41_000,
    "Questions answered at night",
    (Work("Answer in the chat", "economy", 400_000, (5000, 3500, 250)),),
    data="personal",
)
HARDSHIP = Idea(
    "Collections",
    "Letters about hardship",
    "An agent reads letters in which customers say why they cannot pay, and lists what they ask for.",
    "They lie for nine days, and then the reminder goes out all the same.",
    30_000,
    "Days until somebody has read it",
    (Work("Read a letter", "standard", 7000, (9000, 3000, 700)),),
    data="personal",
    quality=(("economy", "10", "140 letters of two months"),),
)
CLAUSES = Idea(
    "Legal",
    "Clauses against new rulings",
    "An agent says which of our clauses a new ruling touches, and drafts how they could read.",
    "Two lawyers read rulings on Fridays, when there is time.",
    110_000,
    "Clauses checked within a week of a ruling",
    (Work("Hold a clause against a ruling", "frontier", 1100, (140_000, 100_000, 5000)),),
    kind="risk",
    data="confidential",
    quality=(
        ("standard", "48", "45 rulings of last year"),
        ("economy", "4", "The same 45 rulings"),
    ),
)
TENDERS = Idea(
    "Legal",
    "Tender documents drafted",
    "An agent writes the first version of a tender from the ones before.",
    "We write three tenders a year, and nobody likes to.",
    9_000,
    "Days for a tender",
    (Work("Draft a chapter", "frontier", 1200, (100_000, 40_000, 6000)),),
    kind="capability",
    evidence="guess",
    quality=(("standard", "12", "One old tender"), ("economy", "1", "The same one")),
)
TARIFF_TESTS = Idea(
    "IT platforms",
    "Tests for the tariff engine",
    "Agents write tests for every rule of the tariff engine from ten years of priced policies.",
    "A change to the engine takes eleven days of testing by hand.",
    130_000,
    "Rules with a test",
    (Work("Write the tests of a rule", "frontier", 1500, (110_000, 80_000, 6000)),),
    kind="risk",
    quality=(("standard", "44", "40 rules"), ("economy", "4", "The same 40 rules")),
)
PASSWORDS = Idea(
    "IT platforms",
    "Password resets by chat",
    "An agent asks for what identifies somebody and resets the password.",
    "Eight hundred calls a month are about passwords.",
    14_000,
    "Calls about passwords",
    (Work("Reset a password", "standard", 3000, (8000, 5000, 400)),),
)
