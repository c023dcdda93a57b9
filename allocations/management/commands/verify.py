"""Prove the promises that can be proved on the live database."""

from typing import Any

from django.db import connection, transaction

from allocations import checks as of_quotas
from ledger import checks as of_ledger
from teams.commands import ContractCommand


class Command(ContractCommand):
    """Recompute quotas, subledger, journal and seals from their facts; exit 1 with the rows that break a promise."""

    help = "Check every promise that can be checked; exit 1 and say which rows break which."

    def handle_contract(self, **_: Any) -> dict[str, Any]:
        checks = of_quotas.CHECKS + of_ledger.CHECKS
        with transaction.atomic():
            with connection.cursor() as cursor:
                # One snapshot: calls that are metered meanwhile cannot look like a difference.
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            found = of_ledger.breaches(checks)
        return {
            "ok": not found,
            "checks": len(checks),
            "breaches": [{"promise": b.promise, "check": b.check, "row": b.row} for b in found],
        }

    def failed(self, result: dict[str, Any]) -> bool:
        """Fail when a promise is broken."""
        return not result["ok"]
