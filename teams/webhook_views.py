"""Pages of webhooks: add one, see its secret once, test it, read what was delivered, rotate, disable."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from django.forms import Form
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from teams import selectors, webhook_services
from teams.access import UserRequest, allowed_only, find_or_404, members_only
from teams.acting import done, pressed, submitted
from teams.forms import DisableForm, NewWebhookForm, SecretForm, WebhookForm, form_status
from teams.models import DeliveryState, Team, Webhook, WebhookDelivery
from teams.paging import page_mark

PAGE = 25
PAGE_OF_ONE = "teams:webhook"
REPEATABLE = (DeliveryState.FAILED, DeliveryState.DROPPED)
DONE = {
    "webhook.create": "Added",
    "webhook.update": "Changed",
    "webhook.rotate": "New secret",
    "webhook.test": "Tested",
    "webhook.repeat": "Sent again",
    "webhook.disable": "Disabled",
    "webhook.enable": "Enabled",
}
# Several forms stand on one page.
ROTATE_IDS, DISABLE_IDS = "rotate_%s", "disable_%s"


@never_cache
@allowed_only("teams.list_webhooks")
def webhooks(request: UserRequest) -> HttpResponseBase:
    """Show the webhooks that somebody may see, and add one; its secret is on the answer to that and nowhere else."""
    company = request.user.has_perm("teams.add_webhook")
    teams = list(Team.objects.order_by("name") if company else selectors.teams_led(request.user))
    form = NewWebhookForm(request.POST or None, teams=teams, company=company)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        asked = {name: data[name] for name in ("name", "url", "events")}
        return _secret_shown(request, *webhook_services.webhook_create(actor=request.user, team=form.team, **asked))

    return submitted(request, form, work) or _list(request, form, may_add=company or bool(teams))


def _list(request: UserRequest, form: NewWebhookForm, *, may_add: bool) -> HttpResponse:
    found = list(selectors.webhooks_visible_to(request.user))
    context = {"webhooks": found, "form": form, "may_add": may_add}
    return render(request, "teams/webhooks.html", context, status=form_status(form))


@never_cache
@members_only
def webhook_page(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show a webhook and what was delivered to it, and change it."""
    webhook = _webhook(request, pk, "teams.change_webhook" if request.method == "POST" else "teams.view_webhook")
    if request.method != "POST":
        return _page(request, webhook, part="teams/parts/deliveries.html" if request.headers.get("HX-Request") else "")
    form = WebhookForm(request.POST)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        webhook_services.webhook_update(actor=request.user, webhook=webhook, **data)
        return done(request, f"{data['name']} is changed.", PAGE_OF_ONE, pk=pk)

    return submitted(request, form, work) or _page(request, webhook, form=form)


@require_POST
@members_only
def webhook_test(request: UserRequest, pk: int) -> HttpResponseBase:
    """Send a test event; the log says within seconds what came of it."""
    webhook = _webhook(request, pk)

    def work() -> str:
        webhook_services.webhook_test(actor=request.user, webhook=webhook)
        return "A test event is on its way; the log says what came of it."

    return pressed(request, work, PAGE_OF_ONE, pk=pk)


@never_cache
@require_POST
@members_only
def webhook_rotate(request: UserRequest, pk: int) -> HttpResponseBase:
    """Give a webhook a new secret and show it once."""
    webhook = _webhook(request, pk)
    form = SecretForm(request.POST, auto_id=ROTATE_IDS)
    if form.is_valid() and form.cleaned_data["newest"] != _mark(webhook):
        # A reloaded answer would send the form again and replace the secret that was just shown.
        form.add_error(None, "This webhook got a new secret a moment ago. Look at it again before you rotate.")

    def work(data: dict[str, Any]) -> HttpResponseBase:
        secret = webhook_services.webhook_rotate(actor=request.user, webhook=webhook, grace=data["grace"])
        return _secret_shown(request, webhook, secret, rotated=True)

    return submitted(request, form, work) or _page(request, webhook, rotate_form=form)


@require_POST
@members_only
def webhook_disable(request: UserRequest, pk: int) -> HttpResponseBase:
    """Stop a webhook, with a reason."""
    webhook = _webhook(request, pk)
    form = DisableForm(request.POST, auto_id=DISABLE_IDS)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        webhook_services.webhook_disable(actor=request.user, webhook=webhook, **data)
        return done(request, f"{webhook.name} is disabled.", PAGE_OF_ONE, pk=pk)

    return submitted(request, form, work) or _page(request, webhook, disable_form=form)


@require_POST
@members_only
def webhook_enable(request: UserRequest, pk: int) -> HttpResponseBase:
    """Let a disabled webhook be told again."""
    webhook = _webhook(request, pk)

    def work() -> str:
        webhook_services.webhook_enable(actor=request.user, webhook=webhook)
        return f"{webhook.name} is told again of what happens from now on."

    return pressed(request, work, PAGE_OF_ONE, pk=pk)


@require_POST
@members_only
def delivery_repeat(request: UserRequest, pk: int, delivery: int) -> HttpResponseBase:
    """Send once more what was given up or dropped."""
    webhook = _webhook(request, pk)
    found = get_object_or_404(WebhookDelivery.objects.select_related("webhook"), webhook=webhook, pk=delivery)

    def work() -> str:
        webhook_services.delivery_repeat(actor=request.user, delivery=found)
        return "It is on its way again."

    return pressed(request, work, PAGE_OF_ONE, pk=pk)


def _webhook(request: UserRequest, pk: int, permission: str = "teams.change_webhook") -> Webhook:
    return find_or_404(Webhook.objects.select_related("team", "created_by"), request.user, permission, pk=pk)


def _mark(webhook: Webhook) -> str:
    return sha256(bytes(webhook.secret_encrypted)).hexdigest()[:16]


def _page(request: UserRequest, webhook: Webhook, *, part: str = "", **forms: Form) -> HttpResponse:
    before = page_mark(request)
    history = selectors.history_of("teams.webhook", webhook.pk)
    rows = selectors.deliveries_of(webhook, before=before, limit=PAGE + 1)
    context: dict[str, Any] = {
        "webhook": webhook,
        "deliveries": rows[:PAGE],
        "older": rows[PAGE - 1].pk if len(rows) > PAGE else None,
        "before": before,
        "repeatable": REPEATABLE if webhook.is_enabled else (),
        "now": datetime.now(UTC),
        "may_change": request.user.has_perm("teams.change_webhook", webhook),
        "form": WebhookForm(initial={"name": webhook.name, "url": webhook.url, "events": webhook.events}),
        "rotate_form": SecretForm(initial={"newest": _mark(webhook)}, auto_id=ROTATE_IDS),
        "disable_form": DisableForm(auto_id=DISABLE_IDS),
        "history": [(event, DONE.get(event.verb, event.verb)) for event in history],
        **forms,
    }
    status = max((form_status(form) for form in forms.values()), default=200)
    return render(request, part or "teams/webhook.html", context, status=status)


def _secret_shown(request: UserRequest, webhook: Webhook, secret: str, *, rotated: bool = False) -> HttpResponse:
    return render(request, "teams/webhook_secret.html", {"webhook": webhook, "secret": secret, "rotated": rotated})
