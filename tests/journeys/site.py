"""A running Tank with people who can log in, each with a browser of their own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.contrib.auth.hashers import Argon2PasswordHasher, make_password
from playwright.sync_api import Browser

from teams.models import User
from tests.conftest import FreshDatabase
from tests.journeys.browser import Person, chromium
from tests.processes import MANAGE, Running, answers, free_port, start_process

PASSWORD = "acorns-in-winter"


@dataclass
class Site:
    """A running Tank; what any of its people's pages complained about is in `complaints`."""

    base: str
    browser: Browser
    users: Mapping[str, User]
    people: list[Person] = field(default_factory=list)

    def person(self, name: str) -> Person:
        """Give somebody a browser of their own, logged in."""
        person = Person(self.browser, self.base, self.users[name].email, PASSWORD)
        self.people.append(person)
        return person

    @property
    def complaints(self) -> list[str]:
        """Return whatever went wrong in a page's console, and every answer of 400 or more."""
        return [complaint for person in self.people for complaint in person.complaints]


@contextmanager
def running_site(database: FreshDatabase, users: Mapping[str, User]) -> Iterator[Site]:
    """Give people a password, start Tank on their database, and a browser."""
    for user in users.values():
        # The site's own hasher: the tests' cheap one is unknown to it.
        user.password = make_password(PASSWORD, hasher=Argon2PasswordHasher())
        user.save()
    port = free_port()
    base = f"http://127.0.0.1:{port}"

    def is_ready(running: Running) -> bool:
        return answers(f"{base}/readyz")

    up = [*MANAGE, "up", "--no-demo", "--port", str(port)]
    with chromium() as browser, start_process(up, database.env, ready=is_ready):
        yield Site(base, browser, users)
