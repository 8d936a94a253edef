"""A headless Chromium that tests drive through its own protocol, over a pipe."""

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
SECONDS = 120  # a busy machine is slow, not wrong
CODES = {"Enter": 13, "Escape": 27, "Backspace": 8, "ArrowDown": 40, "ArrowUp": 38, "Tab": 9}
CODES |= {"ArrowLeft": 37, "ArrowRight": 39}


class Browser:
    """One page."""

    def __init__(self, process: subprocess.Popen, read: int, write: int, downloads: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self.downloads = downloads
        self._process, self._read, self._write = process, read, write
        self._ids = itertools.count(1)
        self._buffer = b""
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session = attached["sessionId"]
        for name in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{name}.enable")
        self._call(
            "Browser.setDownloadBehavior",
            {"behavior": "allow", "downloadPath": str(downloads), "eventsEnabled": True},
        )

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command to the page, and return its result."""
        return self._call(method, params, self._session)

    def open(self, path: Path) -> None:
        """Open a file, and wait until it is loaded."""
        self.events.clear()
        self.send("Page.navigate", url=path.as_uri())
        self.wait_for("Page.loadEventFired")

    def wait_for(self, event: str) -> dict[str, Any]:
        """The next event of a kind."""
        while True:
            for found in self.events:
                if found["method"] == event:
                    self.events.remove(found)
                    return found["params"]
            self._receive()

    def run(self, script: str) -> Any:
        """Value of an expression in the page."""
        found = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys: single characters, or names such as Enter."""
        for key in keys:
            params: dict[str, Any] = {"key": key}
            if key in CODES:
                params |= {"windowsVirtualKeyCode": CODES[key]}
                if key == "Enter":
                    params |= {"text": "\r"}
            else:
                params |= {"text": key}
            self.send("Input.dispatchKeyEvent", type="keyDown", **params)
            self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def type(self, text: str) -> None:
        """Type into whatever has the focus."""
        self.press(*text)

    def download(self, button: str) -> Path:
        """Click a button that saves a file, and wait for the file."""
        self.run(f"document.getElementById({button!r}).click()")
        name = self.wait_for("Browser.downloadWillBegin")["suggestedFilename"]
        while self.wait_for("Browser.downloadProgress")["state"] != "completed":
            pass
        return self.downloads / name

    def problems(self) -> list[Any]:
        """What the page has complained of, or asked the network for."""
        self.run("1")
        told = [
            e for e in self.events if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")
        ]
        asked = [e for e in self.events if e["method"] == "Network.requestWillBeSent"]
        urls = [e["params"]["request"]["url"] for e in asked]
        return told + [url for url in urls if not url.startswith(("file:", "blob:", "data:"))]

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Show the page at some size, in the light or the dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def choose_file(self, identity: str, path: Path) -> None:
        """Give a file to an input."""
        found = self.send("Runtime.evaluate", expression=f"document.getElementById({identity!r})")
        self.send("DOM.setFileInputFiles", files=[str(path)], objectId=found["result"]["objectId"])

    def until(self, script: str) -> bool:
        """Whether an expression comes true."""
        for _ in range(SECONDS * 10):
            if self.run(script):
                return True
            time.sleep(0.1)
        return False

    def _call(self, method: str, params: dict[str, Any], session: str | None = None) -> Any:
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._receive()
            if found and found.get("id") == number:
                assert "error" not in found, found["error"]
                return found["result"]

    def _receive(self) -> dict[str, Any]:
        """The next message; events are kept."""
        while b"\0" not in self._buffer:
            got = os.read(self._read, 1 << 16)
            assert got, "the browser has ended"
            self._buffer += got
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in a folder."""
    assert PROGRAM is not None
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    to_browser, from_test = os.pipe()
    to_test, from_browser = os.pipe()
    os.set_blocking(to_test, True)

    def hand_over() -> None:  # the protocol is on file descriptors 3 and 4
        first, second = os.dup(to_browser), os.dup(from_browser)
        os.dup2(first, 3)
        os.dup2(second, 4)

    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    flags += ["--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage"]
    process = subprocess.Popen(
        [PROGRAM, *flags, f"--user-data-dir={folder / 'profile'}"],
        preexec_fn=hand_over,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Browser(process, to_test, from_test, downloads)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(from_test)
        os.close(to_test)
        time.sleep(0.2)
