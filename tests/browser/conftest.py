"""A headless Chromium: Debian's own, driven by Playwright."""

import shutil

import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


# not for the whole session: as long as it is open, Playwright's event loop runs in this thread, and
# no other test could run one of its own
@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        # as root, in a container, its sandbox cannot start
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """One page in one window, and all that it said and asked for."""

    def __init__(self, browser, width, scheme):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.errors, self.requests = [], []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(message.text)


@pytest.fixture
def visit(browser):
    """Opens windows: `visit(width=375, scheme="dark")`; they are closed after the test."""
    opened = []

    def open_window(width=1280, scheme="light"):
        opened.append(Visit(browser, width, scheme))
        return opened[-1]

    yield open_window
    for one in opened:
        one.context.close()
