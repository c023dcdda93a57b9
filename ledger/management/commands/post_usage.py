"""Post metered usage to the general ledger: the difference to what was posted before."""

from decimal import Decimal
from typing import Any

from django.db.models import Sum

from ledger.models import Posting
from ledger.money import plain
from ledger.services import usage_post
from teams.commands import ContractCommand
from teams.models import User


class Command(ContractCommand):
    """Run the hourly posting by hand; run twice, the second posts nothing."""

    help = "Post metered usage to the ledger, as the schedule does every hour."

    def handle_contract(self, *, actor: User, **_: Any) -> dict[str, Any]:
        entries = usage_post(actor=actor)
        debits = Posting.objects.filter(entry__in=entries, amount__gt=0).aggregate(total=Sum("amount"))
        return {"entries": len(entries), "amount": plain(debits["total"] or Decimal(0))}
