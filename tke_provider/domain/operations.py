"""An operation: one try of a person or a schedule to change something.

Every object that an operation touches carries its id, so that a repeated task finds its own work, and a killed
one undoes nothing but its own.
"""

from __future__ import annotations

import dataclasses
import hashlib

OPERATION = "tke.airflow/operation"
"""Annotation: the id of the operation that last changed the object."""
COMMIT = "tke.airflow/commit"
"""Annotation: the commit that the object's images were built from."""
SIZED_BY = "tke.airflow/sized-by"
"""Annotation: the operation that set the workload's size; manifests then leave the size alone."""
FIELD_MANAGER = "airflow-provider-tke"
"""The one field manager of server-side apply."""


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """Who changes something: one task of one run, and which time a person asked for it.

    :param generation: ``max_tries`` of the task instance. A retry keeps it, so a retry is the same operation; a
        person's Clear raises it, so a cleared task is a new one.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    generation: int = 0

    @property
    def id(self) -> str:
        """A short id, the same for every retry: the task's name to read, and a hash to tell runs apart."""
        whole = "\0".join((self.dag_id, self.run_id, self.task_id, str(self.map_index), str(self.generation)))
        return f"{self.dag_id}.{self.task_id}.{hashlib.sha256(whole.encode()).hexdigest()[:12]}"

    @property
    def lasting_id(self) -> str:
        """An id that a Clear keeps, too: by it, whichever try comes next finds what a killed one left behind."""
        return dataclasses.replace(self, generation=0).id
