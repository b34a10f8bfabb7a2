"""The shop: what a customer sees, put together from the prices and the stock."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from metrics import Metrics

COMMIT = os.environ.get("COMMIT", "unknown")
METRICS = Metrics(COMMIT)


def offer(prices: dict[str, float], stock: dict[str, int]) -> list[dict[str, object]]:
    """Return what can be bought now: everything with a price of which some is left."""
    return [
        {"name": name, "price": price, "left": stock[name]} for name, price in sorted(prices.items()) if stock.get(name)
    ]


def fetch(service: str) -> dict[str, object]:
    """Ask another service by its name."""
    with urllib.request.urlopen(f"http://{service}/", timeout=5) as answer:
        return dict(json.load(answer))


class Shop(BaseHTTPRequestHandler):
    """Answers ``/`` with the offer, ``/healthz`` with a bare yes, and ``/metrics`` with what it counted."""

    def do_GET(self) -> None:
        """Answer one request."""
        if self.path == "/healthz":
            return self.reply({"commit": COMMIT})
        if self.path == "/metrics":
            return self.send(200, METRICS.text().encode(), "text/plain; version=0.0.4")
        began = time.monotonic()
        status, payload = answer()
        self.send(status, payload, "application/json")
        METRICS.count(status, time.monotonic() - began, len(payload))
        return None

    def reply(self, body: dict[str, object]) -> None:
        """Send JSON."""
        self.send(200, json.dumps(body).encode(), "application/json")

    def send(self, status: int, payload: bytes, kind: str) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


def answer() -> tuple[int, bytes]:
    """Return status and body of the offer; an error, where one of the others does not answer."""
    try:
        prices, stock = fetch("prices"), fetch("stock")
    except OSError as error:
        return 500, json.dumps({"error": str(error), "commits": {"shop": COMMIT}}).encode()
    commits = {"shop": COMMIT, "prices": prices["commit"], "stock": stock["commit"]}
    return 200, json.dumps({"offer": offer(prices["prices"], stock["stock"]), "commits": commits}).encode()


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8080), Shop).serve_forever()
