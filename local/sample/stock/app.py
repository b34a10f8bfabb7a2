"""The stock: how many of each thing are left."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = os.environ.get("COMMIT", "unknown")
RECEIVED = {"tea": 40, "cup": 12, "pot": 3}
SOLD = {"tea": 11, "pot": 3}


def left(received: dict[str, int], sold: dict[str, int]) -> dict[str, int]:
    """Return what is left of each thing, never less than none."""
    return {name: max(0, count - sold.get(name, 0)) for name, count in received.items()}


class Stock(BaseHTTPRequestHandler):
    """Answers every path with what is left."""

    def do_GET(self) -> None:
        """Answer one request."""
        payload = json.dumps({"stock": left(RECEIVED, SOLD), "commit": COMMIT}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8080), Stock).serve_forever()
