"""Load the invented company, all of it or nothing, into an empty database."""

import json
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from allocations.services import key_issue
from pitches.demo.catalogue import catalogue_make, year_begin
from pitches.demo.chosen import deciding_round, published_round
from pitches.demo.people import company_make
from pitches.demo.reported import reported_make
from pitches.demo.rounds import open_round, settled_round, voting_round
from pitches.demo.usage import usage_make
from teams.errors import Refused
from teams.models import Notification, User
from teams.selectors import system_user

FILE = "demo.json"
MODEL = "sandbox-standard"


@transaction.atomic
def demo_load() -> dict[str, Any]:
    """Load everything; returns what a newcomer needs: password, logins, a funded key and the model to call.

    The same goes into `demo.json` in the data folder. Raises Refused (not_empty) where there are people already.
    """
    system = system_user()
    if User.objects.exclude(pk=system.pk).exists():
        raise Refused("There are people in this database: the demo loads into an empty one only.", code="not_empty")
    company = company_make(system)
    year_begin(company)
    models = catalogue_make(company, system)
    allocations = settled_round(company, system)
    usage_make(company, allocations, models, system)
    Notification.objects.update(read_at=Now())  # that round is history; what follows is news
    published_round(company)
    deciding_round(company)
    voting_round(company)
    open_round(company)
    reported_make(company, system)
    Notification.objects.update(emailed_at=Now())  # nobody at Otterbridge has a mailbox
    claims = allocations["Claims"]
    _, secret = key_issue(actor=company.lead("Claims"), allocation=claims, name="first-steps")
    demo = {
        "password": company.password,
        "logins": company.logins(),
        "key": secret,
        "model": MODEL,
        "allocation": claims.number,
    }
    _keep(demo, settings.DATA_DIR)
    return demo


def _keep(demo: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    aside = path.with_name(f".{FILE}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(demo, file, indent=2)
    aside.replace(path)
