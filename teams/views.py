"""Pages of people and teams. Each translates the request and makes one service call."""

from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from teams import selectors, services
from teams.access import UserRequest, allowed_only, find_or_404, members_only
from teams.acting import done, submitted
from teams.forms import MailForm, MemberForm, ProfileForm, RemovalForm, RoleForm, form_status
from teams.models import Membership, Notification, Team, TeamRole
from teams.paging import page_mark
from teams.waiting import things_waiting

PAGE = 50


SHOWN = {"": None, "unread": True, "read": False}
"""What `?show` picks of the inbox: whether only unread lines, or only read ones."""


@require_safe
@members_only
def inbox(request: UserRequest) -> HttpResponse:
    """Show what waits for somebody, and what was said to them, newest first."""
    before = page_mark(request)
    show = request.GET.get("show", "")
    show = show if show in SHOWN else ""
    rows = selectors.inbox(request.user, before=before, limit=PAGE + 1, unread=SHOWN[show])
    context = {
        "notifications": rows[:PAGE],
        "older": rows[PAGE - 1].pk if len(rows) > PAGE else None,
        "before": before,
        "show": show,
        "filters": (("", "All"), ("unread", "Unread"), ("read", "Read")),
        "unread": selectors.unread_count(request.user),
        "waiting": list(things_waiting(request.user)) if before is None else [],
    }
    return render(request, "teams/inbox.html", context)


@require_POST
@members_only
def inbox_read(request: UserRequest) -> HttpResponseBase:
    """Mark everything as read."""
    count = services.inbox_read(actor=request.user)
    messages.success(request, f"Marked {count} as read." if count else "There was nothing unread.")
    return redirect("teams:inbox")


@require_POST
@members_only
def notification_open(request: UserRequest, pk: int) -> HttpResponseBase:
    """Mark one line as read and go to the page to act on, or back to the inbox when it names none."""
    line = find_or_404(Notification.objects.all(), request.user, "teams.view_notification", pk=pk)
    services.notification_read(actor=request.user, notification=line)
    if line.url and url_has_allowed_host_and_scheme(line.url, allowed_hosts=None):
        return redirect(line.url)
    return redirect("teams:inbox")


@members_only
def profile(request: UserRequest) -> HttpResponseBase:
    """Show somebody's own account and let them change their name."""
    form = ProfileForm(request.POST or None, initial={"name": request.user.name})

    def work(data: dict[str, Any]) -> HttpResponseBase:
        services.profile_update(actor=request.user, name=data["name"])
        return done(request, "Your name is changed.", "teams:profile")

    answer = submitted(request, form, work)
    context = {
        "form": form,
        "roles": request.user.role_grants.order_by("role"),
        "memberships": request.user.memberships.select_related("team__business_unit").order_by("team__name"),
        "units": request.user.units_headed.order_by("name"),
    }
    return answer or render(request, "teams/profile.html", context, status=form_status(form))


@members_only
def mail(request: UserRequest) -> HttpResponseBase:
    """Let somebody choose how their notifications come by e-mail."""
    form = MailForm(request.POST or None, initial={"rhythm": request.user.mail_rhythm})

    def work(data: dict[str, Any]) -> HttpResponseBase:
        services.mail_rhythm_set(actor=request.user, rhythm=data["rhythm"])
        return done(request, "Your e-mails come that way from now on.", "teams:mail")

    answer = submitted(request, form, work)
    context = {
        "form": form,
        "hour": settings.DIGEST_HOUR,
        "zone": settings.TIME_ZONE_LOCAL,
        "waiting_mails": selectors.mails_waiting(request.user),
    }
    return answer or render(request, "teams/mail.html", context, status=form_status(form))


@require_safe
@allowed_only("teams.view_user")
def people(request: UserRequest) -> HttpResponse:
    """Show everybody with their roles and teams."""
    return render(request, "teams/people.html", {"people": selectors.people_with_places()})


@require_safe
@members_only
def team_list(request: UserRequest) -> HttpResponse:
    """Show the teams that somebody may look into."""
    teams = selectors.teams_with_sizes(selectors.teams_visible_to(request.user))
    return render(request, "teams/list.html", {"teams": teams})


@members_only
def team_page(request: UserRequest, slug: str) -> HttpResponseBase:
    """Show a team: its people, its budget; a lead adds people here."""
    team = _team(request, slug)
    may_change = request.user.has_perm("teams.change_team", team)
    form = MemberForm(request.POST or None, initial={"role": TeamRole.MEMBER})

    def work(data: dict[str, Any]) -> HttpResponseBase:
        user = services.member_add(actor=request.user, team=team, **data)
        return done(request, f"{user} is in {team} now.", "teams:team", slug=team.slug)

    answer = submitted(request, form, work)
    context = {"team": team, "members": selectors.members_of(team), "may_change": may_change, "form": form}
    return answer or render(request, "teams/team.html", context, status=form_status(form))


@members_only
def member_page(request: UserRequest, slug: str, user_id: int) -> HttpResponseBase:
    """Change what somebody is in a team, or take them out of it, after saying what that means."""
    team = find_or_404(Team.objects.select_related("business_unit"), request.user, "teams.change_team", slug=slug)
    membership = get_object_or_404(Membership.objects.select_related("user", "team"), team=team, user_id=user_id)
    role_form = RoleForm(request.POST if "role" in request.POST else None, initial={"role": membership.role})
    removal_form = RemovalForm(request.POST if "reason" in request.POST else None)

    for form, change in ((role_form, _role_change), (removal_form, _removal)):
        work = partial(change, request, membership)
        if answer := submitted(request, form, work):
            return answer
    context = {"team": team, "membership": membership, "role_form": role_form, "removal_form": removal_form}
    status = max(form_status(role_form), form_status(removal_form))
    return render(request, "teams/member.html", context, status=status)


def _role_change(request: UserRequest, membership: Membership, data: dict[str, Any]) -> HttpResponseBase:
    user, team = membership.user, membership.team
    changed = services.membership_set(actor=request.user, user=user, team=team, role=data["role"])
    return done(request, f"{user} is {changed.get_role_display().lower()} of {team} now.", "teams:team", slug=team.slug)


def _removal(request: UserRequest, membership: Membership, data: dict[str, Any]) -> HttpResponseBase:
    user, team = membership.user, membership.team
    services.membership_remove(actor=request.user, user=user, team=team, reason=data["reason"])
    return done(request, f"{user} is no longer in {team}.", "teams:team", slug=team.slug)


def _team(request: UserRequest, slug: str) -> Team:
    return find_or_404(Team.objects.select_related("business_unit__head"), request.user, "teams.view_team", slug=slug)
