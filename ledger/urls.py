"""Pages of the ledger."""

from django.urls import include, path

from ledger.reports import views as reports
from ledger.views import (
    budget,
    corrections,
    feed_files,
    file_runs,
    invoice_files,
    invoices,
    journal,
    overview,
    periods,
    rates,
)

app_name = "ledger"
urlpatterns = [
    path("", overview.overview, name="overview"),
    path("year.csv", overview.waterfall_csv, name="waterfall_csv"),
    path("year-burn.csv", overview.year_burn_csv, name="year_burn_csv"),
    path("trial-balance/", journal.trial_balance, name="trial_balance"),
    path("trial-balance.csv", journal.trial_balance_csv, name="trial_balance_csv"),
    path("accounts/<str:code>/", journal.account, name="account"),
    path("accounts/<str:code>/statement.csv", journal.account_csv, name="account_csv"),
    path("journal/", journal.entries, name="entries"),
    path("journal/J-<int:pk>/", journal.entry, name="entry"),
    path("journal/J-<int:pk>/reverse/", corrections.reversal_new, name="reversal_new"),
    path("budget/", budget.budget, name="budget"),
    path("budget/fund/", budget.budget_action, {"name": "fund"}, name="fund"),
    path("budget/cut/", budget.budget_action, {"name": "cut"}, name="cut"),
    path("budget/delegate/", budget.budget_action, {"name": "delegate"}, name="delegate"),
    path("budget/lapse/", budget.budget_action, {"name": "lapse"}, name="lapse"),
    path("budget/exchange-rate/", budget.budget_action, {"name": "rate_record"}, name="rate_record"),
    path("budget/convert/", budget.budget_action, {"name": "convert"}, name="convert"),
    path("periods/", periods.periods, name="periods"),
    path("periods/<str:name>/", periods.period, name="period"),
    path("periods/<str:name>/accept/<str:item>/", periods.period_accept, name="period_accept"),
    path("periods/<str:name>/<str:step>/", periods.period_step, name="period_step"),
    path("reopenings/<int:pk>/<str:answer>/", periods.reopening, name="reopening"),
    path("corrections/", corrections.corrections, name="corrections"),
    path("corrections/new/", corrections.adjustment_new, name="adjustment_new"),
    path("corrections/C-<int:pk>/", corrections.correction, name="correction"),
    path("corrections/C-<int:pk>/<str:decision>/", corrections.correction_decide, name="correction_decide"),
    path("invoices/", invoices.invoices, name="invoices"),
    path("invoices/new/", invoices.invoice_new, name="invoice_new"),
    path("invoices/import/", invoice_files.invoice_import, name="invoice_import"),
    path("invoices/import/now/", invoice_files.invoice_import_now, name="invoice_import_now"),
    path("invoices/import/sample.csv", invoice_files.invoice_sample, name="invoice_sample"),
    path("invoices/<int:pk>/", invoices.invoice, name="invoice"),
    path("invoices/<int:pk>/<str:decision>/", invoices.invoice_decide, name="invoice_decide"),
    path("reconciliation/import/", feed_files.feed_import, name="feed_import"),
    path("reconciliation/import/now/", feed_files.feed_import_now, name="feed_import_now"),
    path("reconciliation/import/new/", feed_files.feed_new, name="feed_new"),
    path("reconciliation/import/sample-<slug:kind>.csv", feed_files.feed_sample, name="feed_sample"),
    path("reconciliation/import/files/<int:pk>/", file_runs.file_run, name="file_run"),
    path("reconciliation/import/files/<int:pk>/progress/", file_runs.file_progress, name="file_progress"),
    path("reconciliation/import/files/<int:pk>/import/", file_runs.file_import, name="file_import"),
    path("reconciliation/import/files/<int:pk>/leave/", file_runs.file_leave, name="file_leave"),
    path("reconciliation/", include("ledger.urls_reconciliation")),
    path("rates/", rates.rates, name="rates"),
    path("rates/<int:pk>/approve/", rates.rate_approve, name="rate_approve"),
    path("journal/J-<int:pk>/usage/", reports.usage_of_entry, name="entry_usage"),
    path("journal/J-<int:pk>/usage.csv", reports.usage_of_entry_csv, name="entry_usage_csv"),
    path("reports/", reports.reports, name="reports"),
    path("reports/<slug:slug>/", reports.report, name="report"),
    *(
        path(f"reports/<slug:slug>.{suffix}", reports.report_file, {"suffix": suffix}, name=f"report_{suffix}")
        for suffix in reports.WRITERS
    ),
]
