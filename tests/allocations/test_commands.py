"""The commands that scripts rely on, as processes: JSON out, one line and a code on error."""

import json
import subprocess
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from allocations.models import QuotaKey
from allocations.services import KeyLimits, limits_of
from tests.conftest import FreshDatabase
from tests.processes import manage


def run(database: FreshDatabase, *words: str) -> subprocess.CompletedProcess[str]:
    return manage(*words, env=database.env)


def told(database: FreshDatabase, *words: str) -> dict[str, Any]:
    done = run(database, *words, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_from_nothing_to_a_key_with_commands_alone(fresh_database: FreshDatabase) -> None:
    assert told(fresh_database, "fund", "--amount", "1000.50", "--reason", "Year")["reserve"] == "1000.5"
    told(fresh_database, "add_provider", "box", "--dialect", "sandbox")
    told(fresh_database, "add_model", "box", "tank-small", "--tier", "standard", "--input", "1", "--output", "3")
    granted = told(fresh_database, "grant", "Blue", "--amount", "50", "--reason", "A try")
    assert granted == {"allocation": "A-0001", "team": "Blue", "tier": "standard", "amount": "50"}

    issued = told(fresh_database, "issue_key", "A-0001", "--cap", "5", "--name", "ci")
    assert issued["key"].startswith("tank_")
    quota = told(fresh_database, "quota", "A-0001")
    assert [quota[name] for name in ("limit", "spent", "held", "unsettled", "available")] == ["50", "0", "0", "0", "50"]
    assert told(fresh_database, "revoke_key", str(issued["id"]), "--reason", "Done")["state"] == "revoked"
    assert told(fresh_database, "post_usage") == {"entries": 0, "amount": "0"}
    assert told(fresh_database, "verify")["ok"] is True


def test_a_key_is_issued_with_all_its_limits_and_models(fresh_database: FreshDatabase) -> None:
    told(fresh_database, "fund", "--amount", "1000", "--reason", "Year")
    told(fresh_database, "add_provider", "box", "--dialect", "sandbox")
    price = ("--input", "1", "--output", "3")
    for model, tier in (("a", "standard"), ("b", "standard"), ("c", "frontier")):
        told(fresh_database, "add_model", "box", model, "--tier", tier, *price)
    told(fresh_database, "grant", "Blue", "--amount", "50", "--reason", "A try")
    caps = ("--cap", "5", "--day-cap", "2", "--month-cap", "4.5", "--tokens", "9000000000", "--day-tokens", "1000")
    rates = ("--month-tokens", "5000", "--requests-per-minute", "60", "--tokens-per-minute", "700")

    issued = told(
        fresh_database, "issue_key", "A-0001", "--model", "b", "--model", "a", *caps, *rates, "--calls-at-once", "3"
    )

    assert issued["models"] == ["b", "a"]
    key = QuotaKey.objects.get(pk=issued["id"])
    assert set(key.models.values_list("name", flat=True)) == {"a", "b"}
    assert limits_of(key) == KeyLimits(
        Decimal(5), Decimal(2), Decimal("4.5"), 9_000_000_000, 1000, 5000, 60, 700, calls_at_once=3
    )
    for words, sentence in (
        (("--model", "a", "--model", "none"), "There is no model 'none'."),
        (("--model", "c"), "c is of the frontier tier, for which A-0001 has no line."),
        (("--day-tokens", "1e3"), "'1e3' is not a whole number such as 1000"),
        (("--calls-at-once", "0"), "A limit must be more than zero."),
        (("--calls-at-once", "3000000000"), "3000000000 is more than 1000000"),
    ):
        done = run(fresh_database, "issue_key", "A-0001", *words)
        assert (done.returncode, done.stderr.strip().splitlines()[0][-len(sentence) :]) == (1, sentence)
    assert QuotaKey.objects.count() == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fund", "--amount", "-1", "--reason", "x"], "'-1' is not an amount such as 12.50"),
        (["fund", "--amount", "1e3", "--reason", "x"], "'1e3' is not an amount such as 12.50"),
        (["fund", "--amount", "1,000", "--reason", "x"], "'1,000' is not an amount such as 12.50"),
        (["fund", "--amount", "0.0000000000001", "--reason", "x"], "has more than 12 decimal places"),
        (["fund", "--amount", "0", "--reason", "x"], "The amount must be more than zero."),
        (["grant", "Blue", "--amount", "5", "--reason", "x"], "No fiscal year is open for"),
        (["issue_key", "A-0099"], "There is no allocation 'A-0099'."),
        (["quota", "x"], "There is no allocation 'x'."),
        (["revoke_key", "7", "--reason", "x"], "There is no key 7."),
        (["add_provider", "p", "--dialect", "openai", "--base-url", "ftp://x"], "'ftp://x' is not an http(s) address."),
        (["add_model", "p", "m", "--tier", "standard", "--input", "1", "--output", "1"], "There is no provider 'p'"),
    ],
)
def test_a_mistake_gets_one_clear_line_and_exit_code_1(
    fresh_database: FreshDatabase, words: list[str], sentence: str
) -> None:
    done = run(fresh_database, *words)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_reserve_cannot_grant_more_than_it_has(fresh_database: FreshDatabase) -> None:
    told(fresh_database, "fund", "--amount", "10", "--reason", "Year")
    done = run(fresh_database, "grant", "Blue", "--amount", "10.01", "--reason", "x")
    assert done.returncode == 1
    assert "has $10.00; $10.01 is needed." in done.stderr


def test_verify_exits_with_1_when_a_promise_is_broken(fresh_database: FreshDatabase) -> None:
    told(fresh_database, "fund", "--amount", "10", "--reason", "Year")
    with psycopg.connect(fresh_database.url) as connection:
        connection.execute("ALTER TABLE ledger_seal DISABLE TRIGGER append_only_row")
    done = run(fresh_database, "verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["breaches"] == [
        {
            "promise": 4,
            "words": "The journal balances and never changes",
            "check": "history cannot be changed",
            "row": "ledger_seal: its append-only triggers are missing or switched off",
            "look": "psql: \\d+ ledger_seal",
        }
    ]
