"""The shop: what a customer sees, put together from the prices and the stock."""

from __future__ import annotations

import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = os.environ.get("COMMIT", "unknown")


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
    """Answers ``/`` with the offer and ``/healthz`` with a bare yes."""

    def do_GET(self) -> None:
        """Answer one request."""
        if self.path == "/healthz":
            return self.reply({"commit": COMMIT})
        prices, stock = fetch("prices"), fetch("stock")
        commits = {"shop": COMMIT, "prices": prices["commit"], "stock": stock["commit"]}
        return self.reply({"offer": offer(prices["prices"], stock["stock"]), "commits": commits})

    def reply(self, body: dict[str, object]) -> None:
        """Send JSON."""
        payload = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8080), Shop).serve_forever()
