"""What the Airflow UI gets.

This module is imported by every Airflow process, each task's included, so it imports nothing but what Airflow has
loaded by then. The web application is built where it is asked for: in the API server.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class _Lazily:
    """The web application, made when it is first read. An error in it must not keep the API server from starting."""

    made: list[dict[str, Any]] | None = None

    def __get__(self, instance: object, owner: type) -> list[dict[str, Any]]:
        if self.made is None:
            try:
                from tke_provider.plugin.app import app

                self.made = [{"app": app(), "url_prefix": "/tke", "name": "tke"}]
            except Exception:
                logging.getLogger(__name__).exception("The pages of the provider could not be made")
                self.made = []
        return self.made


_TITLE = "TKE services"
_BUNDLE = "tke/static/board.js"


class TkePlugin(AirflowPlugin):
    """The provider's part of the Airflow UI."""

    name = "tke"
    fastapi_apps = _Lazily()
    # One bundle: on the page, all services; in the tabs, what a DAG, a run or a task released.
    react_apps = [  # noqa: RUF012  # as Airflow declares it
        {"name": _TITLE, "bundle_url": _BUNDLE, "destination": "nav", "url_route": "tke", "category": "browse"},
        {"name": _TITLE, "bundle_url": _BUNDLE, "destination": "dag", "url_route": "tke"},
        {"name": _TITLE, "bundle_url": _BUNDLE, "destination": "dag_run", "url_route": "tke"},
        {"name": _TITLE, "bundle_url": _BUNDLE, "destination": "task", "url_route": "tke"},
    ]
