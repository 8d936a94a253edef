"""A headless Chromium, and pages opened in it from a file as a reader opens them."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Opened:
    """A page, and what happened in it that should not have."""

    page: Any
    faults: list[str] = field(default_factory=list)

    def go(self, fragment: str) -> None:
        """Change the fragment of the address, and wait until the page has obeyed."""
        self.page.evaluate(
            "f => new Promise(done => { location.hash = f; setTimeout(done, 30); })", fragment
        )

    def find(self, words: str) -> None:
        """Two groups of keystrokes: the words after a slash, and Enter."""
        self.page.keyboard.press("/")
        self.page.keyboard.type(words)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#card[open]")

    def type(self, words: str) -> None:
        """Type a text."""
        self.page.keyboard.type(words)

    def press(self, *keys: str) -> None:
        """Press keys: single characters, or names such as Enter."""
        for key in keys:
            self.page.keyboard.press(key)

    def run(self, script: str) -> Any:
        """Value of an expression in the page."""
        return self.page.evaluate(script)

    def download(self, identity: str) -> Path:
        """The file that a button gives."""
        with self.page.expect_download() as found:
            self.page.click(f"#{identity}")
        return found.value.path()

    def rows(self, selector: str) -> list[list[str]]:
        """Cells of the body of the first table that matches; its fold is opened."""
        return self.page.eval_on_selector(
            selector,
            """t => {
              const folds = [...document.querySelectorAll("details")];
              for (const fold of folds) fold.open ||= fold.contains(t);
              const rows = [...t.querySelectorAll("tbody tr")];
              return rows.map(r => [...r.cells].map(c => c.innerText));
            }""",
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for the tests of a module; they are skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        # else hundreds of changed addresses in a row are ignored
        args = ["--no-sandbox", "--disable-ipc-flooding-protection"]
        found = playwright.chromium.launch(executable_path=program, args=args)
        yield found
        found.close()


@pytest.fixture
def open_page(browser, tmp_path) -> Iterator[Callable[..., Opened]]:
    """A function that opens the text of a page; it fails the test if the page misbehaved."""
    contexts, opened = [], []

    def open_text(html: str | Path, fragment: str = "", **options: Any) -> Opened:
        path = html if isinstance(html, Path) else tmp_path / "report.html"
        if not isinstance(html, Path):
            path.write_text(html, encoding="utf-8")
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "accept_downloads": True} | options
        )
        contexts.append(context)
        one = Opened(context.new_page())
        opened.append(one)
        address = f"file://{path.resolve()}"
        one.page.on("console", lambda m: one.faults.append(f"console: {m.text}"))
        one.page.on("pageerror", lambda e: one.faults.append(f"error: {e}"))
        one.page.on("dialog", lambda d: (one.faults.append(f"dialog: {d.message}"), d.dismiss()))
        one.page.on(
            "request",
            lambda r: (
                r.url.split("#")[0] != address
                and not r.url.startswith("blob:")
                and one.faults.append(f"request: {r.url}")
            ),
        )
        one.page.goto(address + fragment)
        return one

    yield open_text
    for context in contexts:
        context.close()
    assert [fault for one in opened for fault in one.faults] == []


def wait_until(page: Any, expression: str, seconds: float = 20.0) -> None:
    """Ask the page until an expression is true.

    Playwright's own `wait_for_function` evaluates a string inside the page, which its policy
    forbids.
    """
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)
