"""What a page may load and run: our own files, nothing inline, nothing from elsewhere.

The admin (django-unfold with Alpine.js) needs inline code and eval, and alone may have them.
Policy reference: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse

HEADER = "Content-Security-Policy"
# The one style element that plotly.js (pinned in constraints.txt) adds when it loads, for maps, which pages do not
# show: refused, it would do no harm but leave an error in the console of every page with a plot.
PLOTLY_STYLE = "'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='"
PAGES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": f"'self' {PLOTLY_STYLE}",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
ADMIN = PAGES | {
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
}
ADMIN_PATH = "/admin/"


class ContentSecurityPolicyMiddleware:
    """Set the policy on every answer that has none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.pages, self.admin = written(PAGES), written(ADMIN)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer with the policy of the page's kind."""
        response = self.get_response(request)
        policy = self.admin if request.path_info.startswith(ADMIN_PATH) else self.pages
        response.headers.setdefault(HEADER, policy)
        return response


def written(policy: dict[str, str]) -> str:
    """Write a policy as the header's value; a login at the company's provider leaves by a form."""
    provider = urlsplit(settings.OIDC_SERVER_URL)
    extra = {"form-action": f"'self' {provider.scheme}://{provider.netloc}"} if provider.netloc else {}
    return "; ".join(f"{directive} {sources}" for directive, sources in (policy | extra).items())
