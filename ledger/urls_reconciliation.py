"""Pages of reconciliation, below `reconciliation/`."""

from django.urls import path

from ledger.views import feed_changes, feeds, line_decisions, provider_keys, reconciliation

urlpatterns = [
    path("", reconciliation.overview, name="reconciliation"),
    path("calendar.csv", reconciliation.calendar_csv, name="reconciliation_csv"),
    path("lines/", reconciliation.lines, name="lines"),
    path("lines.csv", reconciliation.lines_csv, name="lines_csv"),
    path("lines/decide/", line_decisions.lines_decide, name="lines_decide"),
    path("lines/<int:pk>/", reconciliation.line, name="line"),
    path("decisions/", line_decisions.line_decisions, name="line_decisions"),
    path("decisions/D-<int:pk>/", line_decisions.line_decision, name="line_decision"),
    path("decisions/D-<int:pk>/<str:decision>/", line_decisions.line_decision_decide, name="line_decision_decide"),
    path("clearing/", reconciliation.clearing, name="clearing"),
    path("clearing.csv", reconciliation.clearing_csv, name="clearing_csv"),
    path("feeds/", feeds.feeds, name="feeds"),
    path("feeds/new/", feed_changes.feed_new, name="feed_add"),
    path("feeds/<int:pk>/", feeds.feed, name="feed"),
    path("feeds/<int:pk>/change/", feed_changes.feed_edit, name="feed_edit"),
    path("feeds/<int:pk>/fetch/", feeds.feed_fetch, name="feed_fetch"),
    path("feeds/<int:pk>/progress/", feeds.feed_progress, name="feed_progress"),
    path("feeds/<int:pk>/<str:way>/", feed_changes.feed_turn, name="feed_turn"),
    path("fetches/F-<int:pk>/", feeds.fetch, name="fetch"),
    path("pages/<int:pk>/", feeds.feed_page, name="feed_page"),
    path("keys/", provider_keys.provider_keys, name="provider_keys"),
    path("keys/<int:pk>/", provider_keys.provider_key, name="provider_key"),
    path("names/", provider_keys.model_names, name="model_names"),
    path("names/<int:pk>/", provider_keys.model_name, name="model_name"),
    path("policies/", provider_keys.policies, name="policies"),
    path("policies/<str:name>/", provider_keys.policy, name="policy"),
]
