"""Pages of allocations and keys."""

from django.urls import path

from allocations import views, views_finance, views_live

app_name = "allocations"
urlpatterns = [
    path("", views.allocation_list, name="list"),
    path("live/", views_live.live, name="live"),
    path("unsettled/", views_finance.unsettled, name="unsettled"),
    path("unsettled/<int:line>/<int:key>/", views_finance.settle, name="settle"),
    path("year-end/", views_finance.year_ends, name="year_ends"),
    path("year-end/<str:name>/", views_finance.year_end, name="year_end"),
    path("<str:number>/", views.allocation_page, name="allocation"),
    path("<str:number>/suspend/", views.allocation_switch, {"action": "suspend"}, name="suspend"),
    path("<str:number>/resume/", views.allocation_switch, {"action": "resume"}, name="resume"),
    path("<str:number>/lines/<slug:tier>/tokens/", views.line_tokens, name="line_tokens"),
    path("<str:number>/burn-down.csv", views.burn_down_csv, name="burn_down_csv"),
    path("<str:number>/keys/new/", views.key_new, name="key_new"),
    path("<str:number>/keys/<int:pk>/", views.key_page, name="key"),
    path("<str:number>/keys/<int:pk>/rotate/", views.key_rotate, name="key_rotate"),
    path("<str:number>/keys/<int:pk>/limits/", views.key_limits, name="key_limits"),
    path("<str:number>/keys/<int:pk>/models/", views.key_models, name="key_models"),
    path("<str:number>/keys/<int:pk>/stop/", views.key_stop, name="key_stop"),
    path("<str:number>/keys/<int:pk>/resume/", views.key_resume, name="key_resume"),
]
