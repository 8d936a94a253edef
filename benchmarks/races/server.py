"""A server with OpenAI's chat API that answers by the hash of the prompt, after a fixed time.

    python server.py ROWS ANSWERS --delay-ms 20

It prints its port. `ROWS` has the prompts and `ANSWERS` the answer of each, as JSON lines. `POST
/weather` sets the counters to zero and says whether answers are broken; `GET /counts` reads them.
In bad weather 5 % of the prompts get a broken answer: half of these JSON that ends too early, a
quarter status 500, a quarter JSON of the wrong types. A quarter of each kind is broken whenever it
is asked, the others the first time only. All of this hangs on the hash of the prompt.

It is a process of its own and needs the standard library only.
"""

import argparse
import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BROKEN = 20  # one prompt in so many
WRONG_TYPES = json.dumps({"subjectivity": "high", "task": 7, "human_values": "none"})


def broken_kind(prompt: str) -> tuple[str, bool]:
    """How the answer to a prompt is broken ("" if it is not), and whether it always is."""
    number = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big")
    if number % BROKEN:
        return "", False
    kind = ("invalid", "invalid", "500", "types")[number // BROKEN % 4]
    return kind, number // (4 * BROKEN) % 4 == 0


def example_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object of a flat schema: for the requests with which clients try a server."""
    kinds = {"integer": 1, "number": 1, "boolean": True, "array": [], "null": None}
    found = {}
    for name, part in schema.get("properties", {}).items():
        allowed = [part["const"]] if "const" in part else part.get("enum", [])
        found[name] = allowed[0] if allowed else kinds.get(part.get("type"), "word")
    return found


class Server:
    """Answers, and counts what it was asked."""

    def __init__(self, rows: Path, answers: Path, delay_s: float) -> None:
        prompts = [json.loads(line)["user"] for line in rows.read_text().splitlines()]
        self._answers = dict(zip(prompts, answers.read_text().splitlines(), strict=True))
        self._delay_s = delay_s
        self._bad_weather = False
        self._reset()

    def _reset(self) -> None:
        self._asked = Counter[str]()
        self._others = self._now = self._most = 0

    async def serve(self) -> None:
        """Listen on a free port of the loopback until the process ends."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                status, content = await self._reply(head[0], body)
                writer.write(
                    f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n"
                    f"content-length: {len(content)}\r\n\r\n".encode()
                    + content
                )
                await writer.drain()
                if fields.get("connection") == "close":
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()

    async def _reply(self, request: str, body: bytes) -> tuple[int, bytes]:
        path = request.split()[1]
        if path == "/counts":
            return 200, json.dumps(self._counts()).encode()
        if path == "/weather":
            self._reset()
            self._bad_weather = json.loads(body)["bad"]
            return 200, b"{}"
        if not path.endswith("/chat/completions"):
            return 200, b'{"object": "list", "data": [{"id": "mock", "object": "model"}]}'
        self._now += 1
        self._most = max(self._most, self._now)
        await asyncio.sleep(self._delay_s)
        self._now -= 1
        status, text = self._answer(json.loads(body))
        return status, json.dumps(_completion(text, len(body)) if status == 200 else text).encode()

    def _answer(self, request: dict[str, Any]) -> tuple[int, Any]:
        messages = request.get("messages")
        prompt = messages[-1]["content"] if messages else ""
        if not isinstance(prompt, str) or prompt not in self._answers:
            self._others += 1
            schema = request.get("response_format", {}).get("json_schema", {}).get("schema", {})
            return 200, json.dumps(example_of(schema))
        self._asked[prompt] += 1
        kind, always = broken_kind(prompt) if self._bad_weather else ("", False)
        answer = self._answers[prompt]
        if not kind or (self._asked[prompt] > 1 and not always):
            return 200, answer
        if kind == "500":
            return 500, {"error": {"message": "try again", "type": "server_error", "code": 500}}
        return 200, WRONG_TYPES if kind == "types" else answer[: len(answer) // 2]

    def _counts(self) -> dict[str, int]:
        return {
            "calls": self._asked.total(),
            "rows": len(self._asked),
            "others": self._others,
            "most_at_once": self._most,
        }


def _completion(text: str, size: int) -> dict[str, Any]:
    prompt, answer = size // 4, len(text) // 4
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 0,
        "model": "mock",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--delay-ms", type=float, default=20.0)
    given = parser.parse_args()
    asyncio.run(Server(given.rows, given.answers, given.delay_ms / 1e3).serve())


if __name__ == "__main__":
    main()
