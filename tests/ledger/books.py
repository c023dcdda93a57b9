"""A small company's books for the ledger's stories."""

from dataclasses import dataclass
from decimal import Decimal

from ledger.models import Account, AccountClass, EntryKind, JournalEntry
from ledger.money import usd
from ledger.selectors import balance, reserve_account
from ledger.services import Leg, account_open, entry_post, pool_open, year_fund
from teams.models import User
from teams.selectors import system_user


@dataclass(frozen=True)
class Books:
    """A funded year with one pool, one commitment and one line, all but the pool still empty."""

    actor: User
    reserve: Account
    pool: Account
    committed: Account
    line: Account

    def award(self, amount: str, key: str = "award-1") -> JournalEntry:
        """Commit money out of the pool."""
        return self.move(EntryKind.AWARD, self.committed, self.pool, amount, key)

    def release(self, amount: str, key: str = "release-1") -> JournalEntry:
        """Release committed money to the line."""
        return self.move(EntryKind.RELEASE, self.line, self.committed, amount, key)

    def move(self, kind: EntryKind, to: Account, out_of: Account, amount: str, key: str) -> JournalEntry:
        """Post one movement between two accounts."""
        legs = [Leg(to, Decimal(amount)), Leg(out_of, -Decimal(amount))]
        return entry_post(actor=self.actor, kind=kind, source="test", key=key, legs=legs)

    def balances(self) -> dict[str, Decimal]:
        """Return the four balances by name."""
        names = ("reserve", "pool", "committed", "line")
        return {name: balance(getattr(self, name)).amount for name in names}


def open_books(funded: str = "1000", in_pool: str = "400") -> Books:
    """Fund the year and open a pool, as the system."""
    actor = system_user()
    year_fund(actor=actor, amount=usd(funded), reason="Budget of the year")
    pool = pool_open(
        actor=actor, code="pool:test", name="Test round", amount=usd(in_pool), reason="Round opens", key="test"
    )
    committed = account_open(code="committed:test", name="Committed", account_class=AccountClass.COMMITTED)
    line = account_open(code="line:test", name="Line", account_class=AccountClass.LINE)
    return Books(actor=actor, reserve=reserve_account(), pool=pool, committed=committed, line=line)
