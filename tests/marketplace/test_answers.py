"""What every answer carries, and what no log line carries."""

import logging
import sys

import pytest
from django.test import Client, override_settings

from marketplace import csp
from marketplace.logs import Formatter
from tests.cast import Company

STRICT = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {csp.PLOTLY_STYLE}; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


@pytest.mark.django_db
def test_pages_run_nothing_but_our_own_files(client: Client) -> None:
    answer = client.get("/account/login/")

    assert answer.headers["Content-Security-Policy"] == STRICT
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_only_the_admin_may_run_inline_code(company: Company) -> None:
    policy = company.client().get("/admin/login/", follow=True).headers["Content-Security-Policy"]

    assert policy in {STRICT, csp.written(csp.ADMIN)}  # its login is a page like any other
    assert "script-src 'self' 'unsafe-inline' 'unsafe-eval'" in csp.written(csp.ADMIN)
    assert "unsafe" not in csp.written(csp.PAGES)


@override_settings(OIDC_SERVER_URL="https://login.acorn.example/realms/acorn")
def test_a_login_at_the_companys_provider_may_leave_by_a_form() -> None:
    assert "form-action 'self' https://login.acorn.example;" in csp.written(csp.PAGES)


@pytest.mark.django_db
def test_nobody_signs_up_by_themselves(client: Client) -> None:
    answer = client.post("/account/signup/", {"email": "eve@elsewhere.example", "password1": "correct horse battery"})

    assert answer.status_code == 200
    assert "sign" in answer.content.decode().lower()
    assert "_auth_user_id" not in client.session


def test_static_files_of_packages_are_served_whole_and_in_part(client: Client) -> None:
    whole = client.get("/static/plotly/plotly.min.js")
    part = client.get("/static/plotly/plotly.min.js", headers={"Range": "bytes=0-9"})

    assert (whole.status_code, len(whole.content) > 1_000_000) == (200, True)
    assert (part.status_code, part.content) == (206, whole.content[:10])
    assert client.get("/static/plotly/datasets/carshare.csv.gz").status_code == 404


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ("key tank_abcdEFGH1234567890 used", "key tank_abcd… used"),
        ("Authorization: Bearer sk-ant-api03-abcdefgh", "Authorization: Bearer …"),
        ("x-api-key: s3cr3t-value-1", "x-api-key: …"),
        ('{"password": "correct-horse"}', '{"password": "…"}'),
        ("cannot reach postgresql://tank:hunter22@db/tank", "cannot reach postgresql://tank:…@db/tank"),
        ("Tank is ready: http://127.0.0.1:8000", "Tank is ready: http://127.0.0.1:8000"),
        ("400 tokens in 3 calls", "400 tokens in 3 calls"),
    ],
)
def test_log_lines_hold_no_secret(message: str, written: str) -> None:
    record = logging.LogRecord("tank", logging.INFO, __file__, 1, message, None, None)

    assert Formatter().format(record).partition(": ")[2] == written


def test_tracebacks_hold_no_secret_either() -> None:
    try:
        raise ValueError("cannot use tank_abcdEFGH1234567890")
    except ValueError:
        record = logging.LogRecord("tank", logging.ERROR, __file__, 1, "failed", None, sys.exc_info())

    assert "tank_abcdEFGH1234567890" not in Formatter().format(record).splitlines()[-1]
