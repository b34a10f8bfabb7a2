"""Every address that the plugin opens in the API server, and to whom. What is not named here fails the tests."""

from __future__ import annotations

SHOP = "cluster=cls-local000&namespace=production&service=shop"
READ = {
    "/api/releases": "",
    "/api/live": SHOP,
    "/api/changes": f"{SHOP}&revision=1",
    "/api/calendars": "",
}
"""By GET, for whoever may read assets: path and query."""
DELIVERED = "/webhooks/{source}"
"""By POST, for whoever signs with the source's secret; who is logged in does not matter."""
OPEN = "/static"
"""Files of the page, for everybody."""


def opened() -> set[tuple[str, str]]:
    """Return method and path of everything that the application answers to."""
    from tke_provider.plugin.app import app

    return {(method, route.path) for route in app().routes for method in getattr(route, "methods", None) or {"*"}}
