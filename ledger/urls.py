"""Pages of the ledger."""

from django.urls import path

from ledger import views
from ledger.reports import views as reports

app_name = "ledger"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("trial-balance/", views.trial_balance, name="trial_balance"),
    path("trial-balance.csv", views.trial_balance_csv, name="trial_balance_csv"),
    path("accounts/<str:code>/", views.account, name="account"),
    path("accounts/<str:code>/statement.csv", views.account_csv, name="account_csv"),
    path("journal/", views.entries, name="entries"),
    path("journal/J-<int:pk>/", views.entry, name="entry"),
    path("rates/", views.rates, name="rates"),
    path("rates/<int:pk>/approve/", views.rate_approve, name="rate_approve"),
    path("reports/", reports.reports, name="reports"),
    path("reports/<slug:slug>/", reports.report, name="report"),
    *(
        path(f"reports/<slug:slug>.{suffix}", reports.report_file, {"suffix": suffix}, name=f"report_{suffix}")
        for suffix in reports.WRITERS
    ),
]
