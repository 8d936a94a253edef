"""What faults of a server cost the stage that reads with it: seconds, calls, rows not answered.

The same conversations and a server that answers after 20 ms, in turn:

- `none`: every call is answered;
- `prompts`: 5 % of the prompts get status 500 whenever they are asked, the others are answered;
- `away`: from half of the calls on, the server hangs up on everybody for 30 s;
- `limited`: from half of the calls on, everybody gets status 429 with `Retry-After: 5` for 12 s.

A run is stages 1 and 2 with one actor, in this process; calls are all that the server saw.
"""

import asyncio
import hashlib
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parent / "races"))

from bench_added_rows import in_this_process
from harness import Result, arguments, plant
from server import example_of

from vitw_ray import cluster, start

DELAY_S = 0.02
BAD = 20  # one prompt in so many
AWAY_S, LIMITED_S, RETRY_AFTER_S = 30.0, 12.0, 5
IN_FLIGHT = 63  # 1.5 times 42
KINDS = ("none", "prompts", "away", "limited")
ANSWER = json.dumps({"subjectivity": 2})


class Server:
    """Answers over HTTP from a thread of its own, and counts."""

    def __init__(self, kind: str, rows: int) -> None:
        self._kind, self._from = kind, rows // 2
        self._since: float | None = None  # when the fault began
        self.calls = Counter[str]()
        self._loop = asyncio.new_event_loop()
        self._port = self._loop.run_until_complete(self._listen())
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Base address of the API."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def _listen(self) -> int:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        return server.sockets[0].getsockname()[1]

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = head.partition("content-length: ")[2].partition("\r\n")[0]
                reply = await self._reply(json.loads(await reader.readexactly(int(length))))
                if reply is None:
                    break
                status, more, content = reply
                line = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n{more}"
                writer.write(f"{line}content-length: {len(content)}\r\n\r\n".encode() + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()

    async def _reply(self, request: dict[str, Any]) -> tuple[int, str, bytes] | None:
        await asyncio.sleep(DELAY_S)
        prompt = request["messages"][-1]["content"]
        schema = request.get("response_format", {}).get("json_schema", {}).get("schema", {})
        is_row = "[USER]" in prompt
        self.calls["rows" if is_row else "others"] += 1
        if self._kind in ("away", "limited") and self.calls["rows"] >= self._from:
            self._since = self._since or time.monotonic()
        lasts = 0.0 if self._since is None else time.monotonic() - self._since
        if self._kind == "away" and self._since is not None and lasts < AWAY_S:
            return None
        if self._kind == "limited" and self._since is not None and lasts < LIMITED_S:
            return 429, f"retry-after: {RETRY_AFTER_S}\r\n", b"{}"
        digest = hashlib.sha256(prompt.encode()).digest()
        if self._kind == "prompts" and is_row and digest[0] % BAD == 0:
            return 500, "", b"{}"
        text = ANSWER if is_row else json.dumps(example_of(schema))
        return 200, "", json.dumps(_completion(text)).encode()


def _completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        **{"id": "chat-1", "object": "chat.completion", "created": 0, "model": "mock"},
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 5, "total_tokens": 305},
    }


def through_threads(
    units: Sequence[Any], actor: Any, *, arguments: Any, concurrent_units: int, **_: Any
) -> Iterator[Any]:
    """As one actor does it: units that are read at once, each in a thread."""
    if units:
        made = actor(**arguments)
        with ThreadPoolExecutor(concurrent_units) as pool:
            for done in as_completed([pool.submit(made, unit) for unit in units]):
                yield done.result()


def measure(kind: str, pattern: str, rows: int, folder: Path) -> dict[str, Any]:
    """One run against a server with this fault."""
    server = Server(kind, rows)
    settings: dict[str, Any] = {"input": pattern, "output": str(folder / kind), "actors": 1}
    settings |= {"extractor": "openai", "model": "mock", "questions": "one_pass"}
    settings |= {"server_url": server.url, "reader_check": "off", "max_error_share": 1.0}
    settings |= {"max_num_seqs": int(IN_FLIGHT / 1.5)}
    with in_this_process(), patch.object(cluster, "stream_through_actors", through_threads):
        run = start.run(until="extractions", **settings)
    said = run.stages["extractions"]
    print(kind, said["seconds"], dict(server.calls), file=sys.stderr, flush=True)
    return {
        "stage_s": said["seconds"],
        "calls": server.calls["rows"],
        "other_calls": server.calls["others"],
        "failed": said["failed"],
    }


def main() -> None:
    given = arguments(__doc__)
    rows = 300 if given.quick else 1_000
    result = Result("server_faults", given.quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pattern = plant(folder / "in", rows)
        found = {kind: measure(kind, pattern, rows, folder) for kind in KINDS}
    result.work = {"rows": rows, "in_flight": IN_FLIGHT, "faults": found}
    for kind, seen in found.items():
        result.ratios[f"{kind}_calls_over_rows"] = seen["calls"] / rows
        cells = (f"{seen['stage_s']:.1f}", str(seen["calls"]), str(seen["other_calls"]))
        result.rows.append((kind, *cells, json.dumps(seen["failed"])))
    result.report(("fault", "stage 2, s", "calls", "others", "failed"))


if __name__ == "__main__":
    main()
