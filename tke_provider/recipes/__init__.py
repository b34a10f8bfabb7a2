"""Whole journeys: what a team writes down becomes a DAG.

Belongs here: functions that read a document and return a DAG made of the operators, and nothing that an operator could
do. Does not belong here: work that is done when the DAG runs, and whatever makes parsing slow: no network, no heavy
package. Only DAG files may enter, and the plugin.
"""

from __future__ import annotations

from tke_provider.recipes.cicd import cicd_dag
from tke_provider.recipes.scaling import scaling_dag

__all__ = ["cicd_dag", "scaling_dag"]
