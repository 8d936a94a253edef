"""The server of the race in a process of its own, and what it is asked from outside."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DELAY_MS = 20.0


class Server:
    """The server, from the outside."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def weather(self, bad: bool) -> None:
        """Reset the counters; break answers or not."""
        self._ask("/weather", json.dumps({"bad": bad}).encode())

    def counts(self) -> dict[str, int]:
        """Calls, different rows, requests about none of them, most calls at once."""
        return self._ask("/counts", None)

    def _ask(self, path: str, data: bytes | None) -> dict[str, int]:
        with urllib.request.urlopen(self.url + path, data=data, timeout=30) as response:
            return json.load(response)


@contextmanager
def served(rows: Path, answers: Path) -> Iterator[Server]:
    """A server in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("server.py")), str(rows), str(answers)]
    with subprocess.Popen(
        [*command, "--delay-ms", str(DELAY_MS)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.kill()
