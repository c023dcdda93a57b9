"""Pages of people and teams: the inbox, one's profile, teams and their members."""

from django.urls import path

from teams import token_views, views, webhook_views

app_name = "teams"
urlpatterns = [
    path("inbox/", views.inbox, name="inbox"),
    path("inbox/read/", views.inbox_read, name="inbox_read"),
    path("inbox/<int:pk>/open/", views.notification_open, name="notification_open"),
    path("profile/", views.profile, name="profile"),
    path("profile/mail/", views.mail, name="mail"),
    path("profile/tokens/", token_views.tokens, name="tokens"),
    path("profile/tokens/<int:pk>/revoke/", token_views.token_revoke, name="token_revoke"),
    path("people/", views.people, name="people"),
    path("teams/", views.team_list, name="list"),
    path("teams/<slug:slug>/", views.team_page, name="team"),
    path("teams/<slug:slug>/members/<int:user_id>/", views.member_page, name="member"),
    path("webhooks/", webhook_views.webhooks, name="webhooks"),
    path("webhooks/<int:pk>/", webhook_views.webhook_page, name="webhook"),
    path("webhooks/<int:pk>/test/", webhook_views.webhook_test, name="webhook_test"),
    path("webhooks/<int:pk>/rotate/", webhook_views.webhook_rotate, name="webhook_rotate"),
    path("webhooks/<int:pk>/disable/", webhook_views.webhook_disable, name="webhook_disable"),
    path("webhooks/<int:pk>/enable/", webhook_views.webhook_enable, name="webhook_enable"),
    path("webhooks/<int:pk>/deliveries/<int:delivery>/repeat/", webhook_views.delivery_repeat, name="delivery_repeat"),
]
