"""The reports of a check, where people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class ReportsLink(BaseOperatorLink):
    """The folder with the test reports of a task, which the operator has in its attribute ``reports_link``."""

    name = "Test reports"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  # Airflow's signature
        """Return its address for a browser; nothing where none is known."""
        address = getattr(operator, "reports_link", "")
        return address if isinstance(address, str) else ""
