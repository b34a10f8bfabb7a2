"""Every call, as it came in and what became of it; secrets are left out."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tke_provider.emulator.models import Json

_SECRET_WORDS = ("password", "token", "secret", "keyids", "userscript", "raworiginal")
_KEPT = 20_000


@dataclass
class Record:
    """One call.

    :param time: Seconds since the epoch.
    :param who: The caller's ARN, or the SecretId it claimed.
    :param request: The parameters, secrets replaced by ``***``.
    :param code: The error code, ``""`` on success, ``HTTP 503`` for an answer that is no envelope.
    :param trouble: The trouble that met the call, if any.
    """

    time: float
    service: str = ""
    version: str = ""
    action: str = ""
    region: str = ""
    who: str = ""
    client: str = ""
    request: Json = field(default_factory=dict)
    request_id: str = ""
    code: str = ""
    message: str = ""
    trouble: str = ""


class Audit:
    """The latest calls in memory, all of them in a file of JSON lines.

    :param path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: deque[Record] = deque(maxlen=_KEPT)

    def add(self, record: Record) -> None:
        """Keep a record."""
        self._records.append(record)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")

    def clear(self) -> None:
        """Forget the records in memory; the file keeps them."""
        self._records.clear()

    def find(self, wanted: dict[str, str], since: float = 0) -> Iterator[Json]:
        """The records whose fields are as wanted, oldest first.

        :param wanted: Field name to value.
        :param since: Only calls at or after this time.
        """
        for record in list(self._records):
            found = asdict(record)
            if record.time >= since and all(str(found.get(name)) == value for name, value in wanted.items()):
                yield found


def redact(value: Any) -> Any:
    """A copy without secrets: what is under a name that sounds like one becomes ``***``."""
    if isinstance(value, dict):
        return {
            key: "***" if any(word in key.lower() for word in _SECRET_WORDS) else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [redact(item) for item in value]
    return value
