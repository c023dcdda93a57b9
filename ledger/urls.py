"""Pages of the ledger."""

from django.urls import path

from ledger import views, views_desk, views_invoices
from ledger.reports import views as reports

app_name = "ledger"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("year.csv", views.waterfall_csv, name="waterfall_csv"),
    path("year-burn.csv", views.year_burn_csv, name="year_burn_csv"),
    path("trial-balance/", views.trial_balance, name="trial_balance"),
    path("trial-balance.csv", views.trial_balance_csv, name="trial_balance_csv"),
    path("accounts/<str:code>/", views.account, name="account"),
    path("accounts/<str:code>/statement.csv", views.account_csv, name="account_csv"),
    path("journal/", views.entries, name="entries"),
    path("journal/J-<int:pk>/", views.entry, name="entry"),
    path("journal/J-<int:pk>/reverse/", views_desk.reversal_new, name="reversal_new"),
    path("budget/", views_desk.budget, name="budget"),
    path("budget/fund/", views_desk.fund, name="fund"),
    path("budget/cut/", views_desk.cut, name="cut"),
    path("budget/delegate/", views_desk.delegate, name="delegate"),
    path("budget/lapse/", views_desk.lapse, name="lapse"),
    path("budget/exchange-rate/", views_desk.rate_record, name="rate_record"),
    path("budget/convert/", views_desk.convert, name="convert"),
    path("periods/", views_desk.periods, name="periods"),
    path("periods/<str:name>/", views_desk.period, name="period"),
    path("periods/<str:name>/accept/<str:item>/", views_desk.period_accept, name="period_accept"),
    path("periods/<str:name>/<str:step>/", views_desk.period_step, name="period_step"),
    path("reopenings/<int:pk>/<str:answer>/", views_desk.reopening, name="reopening"),
    path("corrections/", views_desk.corrections, name="corrections"),
    path("corrections/new/", views_desk.adjustment_new, name="adjustment_new"),
    path("corrections/C-<int:pk>/", views_desk.correction, name="correction"),
    path("corrections/C-<int:pk>/<str:decision>/", views_desk.correction_decide, name="correction_decide"),
    path("invoices/", views_invoices.invoices, name="invoices"),
    path("invoices/new/", views_invoices.invoice_new, name="invoice_new"),
    path("invoices/<int:pk>/", views_invoices.invoice, name="invoice"),
    path("invoices/<int:pk>/<str:decision>/", views_invoices.invoice_decide, name="invoice_decide"),
    path("rates/", views.rates, name="rates"),
    path("rates/<int:pk>/approve/", views.rate_approve, name="rate_approve"),
    path("journal/J-<int:pk>/usage/", reports.usage_of_entry, name="entry_usage"),
    path("journal/J-<int:pk>/usage.csv", reports.usage_of_entry_csv, name="entry_usage_csv"),
    path("reports/", reports.reports, name="reports"),
    path("reports/<slug:slug>/", reports.report, name="report"),
    *(
        path(f"reports/<slug:slug>.{suffix}", reports.report_file, {"suffix": suffix}, name=f"report_{suffix}")
        for suffix in reports.WRITERS
    ),
]
