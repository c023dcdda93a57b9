"""A real Chromium, and people who use it. Needs the browser that the system has; tests say so when there is none."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, Playwright, Response, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# No look-ups of its own: the pages under test are all there is. Chromium refuses its sandbox to root.
FLAGS = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-gpu")

# A loaded machine is slow, not wrong.
expect.set_options(timeout=30_000)


def executable() -> str:
    """Return the path of the browser; skips the test without one."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("browser tests need Chromium: install it, or name it in CHROMIUM")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser."""
    path = executable()
    with sync_playwright() as playwright:
        browser = launch(playwright, path)
        try:
            yield browser
        finally:
            browser.close()


def launch(playwright: Playwright, path: str) -> Browser:
    """Start the browser at a path."""
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else list(FLAGS)
    return playwright.chromium.launch(executable_path=path, args=flags)


class Person:
    """Somebody at a browser of their own; whatever goes wrong in a page's console is kept."""

    def __init__(self, browser: Browser, base: str, email: str, password: str) -> None:
        self.base = base
        self.page: Page = browser.new_context(base_url=base).new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._listen)
        self.page.on("response", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto("/account/login/")
        self.page.get_by_label("Email").fill(email)
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page).not_to_have_url(re.compile("login"))

    def _note(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status} {response.url}")

    def _listen(self, message: object) -> None:
        if getattr(message, "type", "") == "error":
            self.complaints.append(getattr(message, "text", ""))

    def goes_to(self, path: str) -> Page:
        """Open a page; it must be answered with 200."""
        response = self.page.goto(path)
        assert response is not None
        assert response.status == 200, f"{path}: {response.status}"
        return self.page

    def presses(self, name: str) -> Page:
        """Press a button, and wait for the page that it leads to."""
        self.page.get_by_role("button", name=name, exact=True).click()
        self.page.wait_for_load_state()
        return self.page
