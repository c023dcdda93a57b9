"""Reports that need the floor above the ledger: budgets and their pace, refused calls, and who changed what."""

from allocations.reports.access import AccessAudit
from allocations.reports.anomalies import Anomalies
from allocations.reports.budget import BudgetAgainstActual
from allocations.reports.denials import DenialLog
from allocations.reports.forecast import Forecast

REPORTS = (AccessAudit, Anomalies, BudgetAgainstActual, DenialLog, Forecast)
