"""The web application that the plugin mounts into Airflow's API server under ``/tke``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI


def app() -> FastAPI:
    """Return the application. Nothing is open but what a route itself opens: Airflow protects no plugin's pages."""
    from fastapi import FastAPI
    from starlette.staticfiles import StaticFiles

    from tke_provider.plugin import board, webhooks
    from tke_provider.plugin.deliveries import Starter

    starter = Starter()
    made = FastAPI(openapi_url=None, redirect_slashes=False, lifespan=starter.running)
    made.include_router(webhooks.router(starter))
    made.include_router(board.router())
    # The page itself holds nothing that a stranger may not see.
    made.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    return made
