"""A provider of OpenAI's kind that remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

USAGE = {"prompt_tokens": 100, "completion_tokens": 10}

Answering = Callable[[dict[str, Any]], str]
"""From the body of a request to the text of its answer."""


class Provider(BaseHTTPRequestHandler):
    """Answers with what `answering` makes of the body."""

    asked: ClassVar[list[dict[str, Any]]]
    answering: ClassVar[Answering]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(body)
        events = (
            {"choices": [{"delta": {"content": type(self).answering(body)}, "finish_reason": None}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": USAGE},
        )
        stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(stream.encode())))
        self.end_headers()
        self.wfile.write(stream.encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def provider(answering: Answering) -> Iterator[tuple[list[dict[str, Any]], str]]:
    """The bodies that it was asked with so far, and its base URL."""
    asked: list[dict[str, Any]] = []
    handler = type("Remembering", (Provider,), {"asked": asked, "answering": staticmethod(answering)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield asked, f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()
