"""What the Airflow UI gets."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class TkePlugin(AirflowPlugin):
    """The provider's part of the Airflow UI."""

    name = "tke"
