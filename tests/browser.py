"""Chromium for the tests of the report: the system's own, offline, driven by playwright; whatever it complains of is kept."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Locator, Request

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--no-sandbox", "--force-color-profile=srgb", "--host-resolver-rules=MAP * ~NOTFOUND")
_TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`policy: ${event.effectiveDirective} forbids ${event.blockedURI} at line ${event.lineNumber}`)
);
"""
_GO = """async (hash) => {
    if (window.location.hash !== hash) {
        // The page's own listener comes first: `superact.ready` is of the new address when this one is called.
        const turned = new Promise((resolve) => window.addEventListener("hashchange", resolve, { once: true }));
        window.location.hash = hash;
        await turned;
    }
    await window.superact.ready;
}"""

_LISTEN = """() => {
    window.turned = new Promise((resolve, reject) => {
        window.addEventListener("hashchange", resolve, { once: true });
        window.setTimeout(() => reject(new Error("the address stays as it was")), 10000);
    });
}"""
_ARRIVED = """async () => {
    await window.turned;
    await window.superact.ready;
}"""


def find_chromium() -> str | None:
    """The program: $SUPERACT_CHROMIUM, or the first that is on PATH."""
    wanted = os.environ.get("SUPERACT_CHROMIUM")
    return next((found for name in ((wanted,) if wanted else PROGRAMS) if (found := shutil.which(name))), None)


def lacking() -> str | None:
    """Why no browser can be driven here, and what to install; None where one can."""
    if importlib.util.find_spec("playwright") is None:
        return "no package playwright: pip install 'superact[browser-test]'"
    if find_chromium() is None:
        return "no Chromium: install the system's package chromium, or name a program in SUPERACT_CHROMIUM"
    return None


def require_browser() -> str:
    """The program. Without one the tests that ask are skipped, and with CI=true they fail: CI must look at the pages."""
    if (why := lacking()) is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI opens the report in a browser: {why}", pytrace=False)
        pytest.skip(why)
    found = find_chromium()
    assert found is not None
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A headless Chromium. While it runs, this thread has a running event loop, which asyncio.run refuses: end it soon."""
    program = require_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Tab:
    """One page that is offline. `complaints`: errors and warnings of the console and of scripts, violations of the page's
    policy, dialogs, failed requests, and requests to anything but the files of the report that is open. `requests`: all of
    them.
    """

    def __init__(self, browser: Browser, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            offline=True,
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(10_000)
        self.context.add_init_script(_TELL_VIOLATIONS)
        self.page = self.context.new_page()
        self.folder = Path()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.on("crash", lambda _: self.complaints.append("the page crashed"))
        failed = lambda request: self.complaints.append(f"failed: {request.url}: {request.failure}")  # noqa: E731
        self.page.on("requestfailed", failed)
        self.context.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)
        own = request.url.startswith((f"{self.folder.as_uri()}/", "data:"))
        if not own or "/../" in request.url:
            self.complaints.append(f"request: {request.url}")

    def open(self, folder: Path, hash: str = "#/overview") -> Tab:
        """Show a page of the report in a folder, and wait until it is all there."""
        if folder != self.folder:
            self.folder = folder
            self.page.goto(f"{folder.as_uri()}/index.html{hash}")
        self.page.evaluate(_GO, hash)
        return self

    @contextmanager
    def going(self) -> Iterator[None]:
        """Do something that leads to another address, then wait until that is all there."""
        self.page.evaluate(_LISTEN)
        yield
        self.page.evaluate(_ARRIVED)

    def of(self, selector: str) -> Locator:
        """Elements of the page."""
        return self.page.locator(selector)

    def texts(self, selector: str) -> list[str]:
        """The text content of elements, in order, markup that is not shown included."""
        found: list[str] = self.page.eval_on_selector_all(selector, "all => all.map((own) => own.textContent)")
        return found

    def text(self, selector: str) -> str:
        """The text content of one element."""
        (found,) = self.texts(selector)
        return found

    def data(self, selector: str, name: str) -> list[Any]:
        """One data attribute of elements, in order."""
        found: list[Any] = self.page.eval_on_selector_all(
            selector, "(all, name) => all.map((own) => own.dataset[name])", name
        )
        return found

    def accessible(self) -> list[dict[str, Any]]:
        """The page as assistive technology gets it: role, name, description, value and whether it takes the focus, in order."""
        client = self.context.new_cdp_session(self.page)
        nodes = client.send("Accessibility.getFullAXTree")["nodes"]
        client.detach()
        return [
            {
                "role": node["role"]["value"],
                "name": node.get("name", {}).get("value", ""),
                "value": str(node.get("value", {}).get("value", "")),
                **{own["name"]: own["value"].get("value") for own in node.get("properties", [])},
            }
            for node in nodes
            if not node["ignored"]
        ]

    def close(self) -> None:
        """End it."""
        self.context.close()
