"""A chat server over real HTTP for tests: sends scripted replies and records the requests."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """A reply; without a body, it quotes the request, as many servers do in an error."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False  # hang up instead
    hang_until: threading.Event | None = None


@dataclass(frozen=True)
class Request:
    body: dict[str, Any]
    key: str
    time_s: float


Play = Callable[[dict[str, Any]], Reply]  # from the body of a request


class ChatServer:
    def __init__(self, play: Play) -> None:
        self.play = play
        self.requests: list[Request] = []
        self.at_once = self.most_at_once = self.open_connections = 0
        self.lock = threading.Lock()

    def in_turn(self, *replies: Reply) -> None:
        """Send these replies in order, then the last one repeatedly."""
        first = len(self.requests)
        self.play = lambda _: replies[min(len(self.requests) - first, len(replies)) - 1]


@contextmanager
def chat_server(play: Play) -> Iterator[tuple[ChatServer, str]]:
    """A server on a free port of the loopback, and its base address."""
    server = ChatServer(play)

    class Listener(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 1024  # the default of 5 would limit concurrency

    listener = Listener(("127.0.0.1", 0), _handler(server))
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{listener.server_address[1]}/v1"
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections
        disable_nagle_algorithm = True

        def setup(self):
            super().setup()
            with server.lock:
                server.open_connections += 1

        def finish(self):
            super().finish()
            with server.lock:
                server.open_connections -= 1

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            key = self.headers["authorization"]
            with server.lock:
                server.requests.append(Request(body, key, time.monotonic()))
                server.at_once += 1
                server.most_at_once = max(server.most_at_once, server.at_once)
                reply = server.play(body) if self.path == "/v1/chat/completions" else Reply(404)
            if reply.hang_until:
                reply.hang_until.wait(30)
            with server.lock:
                server.at_once -= 1
            if reply.drop:
                self.close_connection = True
                return
            with suppress(ConnectionError):  # the client has timed out
                self.send(reply, {"error": {"message": f"{key} asked for {body}"}})

        def send(self, reply: Reply, quoting: dict[str, Any]):
            content = reply.body if reply.body is not None else quoting
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(reply.status)
            headers = {"content-type": "application/json", **reply.headers}
            for name, value in {**headers, "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format, *args):
            pass

    return Handler


def completion(content: Any, finish_reason: str = "stop", **message: Any) -> Reply:
    """A chat completion with this content."""
    return Reply(
        body={
            "id": "chat-1",
            "object": "chat.completion",
            "created": 0,
            "model": "tiny-2026",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish_reason,
                    "message": {"role": "assistant", "content": content, **message},
                }
            ],
            "usage": {
                "prompt_tokens": 300,
                "completion_tokens": 20,
                "total_tokens": 320,
                "prompt_tokens_details": {"cached_tokens": 256},
            },
        }
    )
