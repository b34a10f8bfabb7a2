"""The prices, in yuan."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = os.environ.get("COMMIT", "unknown")
PRICES = {"tea": 18.0, "cup": 35.5, "pot": 120.0}


def discounted(prices: dict[str, float], percent: float) -> dict[str, float]:
    """Return every price less ``percent``, to the cent."""
    return {name: round(price * (100 - percent) / 100, 2) for name, price in prices.items()}


class Prices(BaseHTTPRequestHandler):
    """Answers every path with all prices."""

    def do_GET(self) -> None:
        """Answer one request."""
        percent = float(os.environ.get("DISCOUNT_PERCENT", "0"))
        payload = json.dumps({"prices": discounted(PRICES, percent), "commit": COMMIT}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8080), Prices).serve_forever()
