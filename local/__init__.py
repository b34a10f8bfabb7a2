"""The local stack: every real part of the product's world, started and stopped on one machine.

What belongs here: how a part is installed, started, asked whether it answers, and stopped without a trace.
What does not: anything a user of the provider needs (it is not shipped), or anything that stands in for a real
part. Nobody in ``tke_provider`` may import from here; the demo and the end-to-end tests do, through
``local.endpoints`` and ``local.stack``.
"""

from __future__ import annotations

import os
from pathlib import Path

#: The checkout this stack belongs to.
ROOT = Path(__file__).resolve().parent.parent
#: State, logs and pid files of running parts; ignored by git.
STATE = ROOT / ".local"
#: What is made once a machine: compiled programs and the base image, each by its version.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airflow-provider-tke"
_RUNTIME = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/tmp")  # noqa: S108
#: Sockets, because the path of one may not be longer than 107 bytes; beside it, which checkout owns the stack.
RUN = Path(_RUNTIME) / "airflow-provider-tke"


class StackError(Exception):
    """A part cannot do what it was asked; the text says which, why, and what to do."""
