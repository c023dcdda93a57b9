"""Addresses of the ledger's API, under /api/v1/."""

from django.urls import path

from ledger import api

app_name = "ledger_api"
urlpatterns = [
    path("accounts/", api.AccountList.as_view(), name="accounts"),
    path("accounts/<str:code>/", api.AccountDetail.as_view(), name="account"),
    path("accounts/<str:code>/statement/", api.StatementList.as_view(), name="statement"),
    path("balances/", api.BalanceList.as_view(), name="balances"),
    path("entries/", api.EntryList.as_view(), name="entries"),
    path("entries/<int:pk>/", api.EntryDetail.as_view(), name="entry"),
    path("usage/days/", api.DayList.as_view(), name="days"),
    path("usage/hours/", api.HourList.as_view(), name="hours"),
    path("reports/", api.ReportList.as_view(), name="reports"),
    path("reports/<slug:slug>/", api.ReportDetail.as_view(), name="report"),
]
