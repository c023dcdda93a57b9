"""Feeds: how fresh each is, its fetches, the pages as received, and fetching now."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from ledger import tasks
from ledger.models import Feed, FeedFetch, FeedPage
from ledger.selectors.feeds import feeds_shown, fetches_of, freshness_of
from teams.access import UserRequest, allowed_only, find_or_404, members_only, visible_or_404
from teams.paging import page_mark

PAGE = 50


@require_safe
@allowed_only("ledger.view_feed")
def feeds(request: UserRequest) -> HttpResponse:
    """Show every feed and how fresh it is."""
    context = {"feeds": feeds_shown(), "may_change": request.user.has_perm("ledger.change_feed")}
    return render(request, "ledger/reconciliation/feeds.html", context)


@require_safe
@allowed_only("ledger.view_feed")
def feed(request: UserRequest, pk: int) -> HttpResponse:
    """Show a feed: how fresh it is, and its fetches, newest first."""
    found = _feed(request, pk)
    before = page_mark(request)
    fetches = fetches_of(found, before=before, limit=PAGE + 1)
    context = {
        **_progress(request, found),
        "fetches": fetches[:PAGE],
        "older": fetches[PAGE - 1].pk if len(fetches) > PAGE else None,
        "before": before,
        "may_fetch": not found.is_file and found.is_enabled and request.user.has_perm("ledger.fetch_feed"),
        "may_change": request.user.has_perm("ledger.change_feed"),
    }
    return render(request, "ledger/reconciliation/feed.html", context)


@require_safe
@allowed_only("ledger.view_feed")
def feed_progress(request: UserRequest, pk: int) -> HttpResponse:
    """Show how far the fetch of a feed has come, for a page that asks again and again."""
    return render(request, "ledger/reconciliation/parts/progress.html", _progress(request, _feed(request, pk)))


def _progress(request: HttpRequest, found: Feed) -> dict[str, object]:
    """Say how far a fetch that was asked for has come: `asked` is the id of the latest fetch before it."""
    fresh, asked = freshness_of([found])[found.pk], page_mark(request, "asked")
    latest = fetches_of(found, limit=1)
    began = asked is None or bool(latest and latest[0].pk > asked)
    return {"feed": found, "fresh": fresh, "asked": asked, "began": began, "latest": latest[0] if latest else None}


@require_POST
@members_only
def feed_fetch(request: UserRequest, pk: int) -> HttpResponseBase:
    """Have the provider of a feed read now, over the days whose figures may still change; the worker does it."""
    found = _feed(request, pk)
    visible_or_404(request.user, "ledger.fetch_feed", None)
    latest = fetches_of(found, limit=1)
    tasks.fetch_provider.delay(found.pk, request.user.pk)
    messages.success(request, f"All feeds of {found.provider.name} are being read, and reconciled after.")
    asked = latest[0].pk if latest else 0
    return HttpResponseRedirect(f"{reverse('ledger:feed', args=[pk])}?asked={asked}")


@require_safe
@allowed_only("ledger.view_feed")
def fetch(request: UserRequest, pk: int) -> HttpResponse:
    """Show a fetch: how it ended, and its pages as received."""
    rows = FeedFetch.objects.select_related("feed__provider", "begun_by")
    found = find_or_404(rows, request.user, "ledger.view_feed", pk=pk)
    after = page_mark(request, "after") or 0
    pages = list(
        found.pages.filter(number__gt=after)
        .select_related("body")
        .defer("body__compressed")
        .order_by("number")[: PAGE + 1]
    )
    context = {"fetch": found, "pages": pages[:PAGE], "more": pages[PAGE - 1].number if len(pages) > PAGE else None}
    return render(request, "ledger/reconciliation/fetch.html", context | {"after": after})


@require_safe
@allowed_only("ledger.view_feed")
def feed_page(request: UserRequest, pk: int) -> HttpResponse:
    """Send a page byte for byte as it was received, as a file that no browser runs."""
    rows = FeedPage.objects.select_related("body")
    found = find_or_404(rows, request.user, "ledger.view_feed", pk=pk)
    answer = HttpResponse(found.body.content, content_type="application/octet-stream")
    answer["Content-Disposition"] = f'attachment; filename="F-{found.fetch_id}-{found.number}.bin"'
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def _feed(request: UserRequest, pk: int) -> Feed:
    return find_or_404(Feed.objects.select_related("provider"), request.user, "ledger.view_feed", pk=pk)
