"""What every part of the stack has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from local import STATE

if TYPE_CHECKING:
    from pathlib import Path

Database = Literal["sqlite", "postgres"]


@dataclass(frozen=True)
class Settings:
    """What ``up`` was told, and every later command goes by.

    :param kubeconfig: a cluster of the user's own; None for the one that is compiled and started here.
    :param database: where Airflow keeps its state.
    """

    kubeconfig: Path | None = None
    database: Database = "sqlite"


class Part(ABC):
    """One part: started only when it does not answer, and stopped without a trace."""

    #: What it is called on the command line; also its folder under ``.local/``.
    name: ClassVar[str]
    #: Parts that have to answer before this one can start.
    needs: ClassVar[tuple[str, ...]] = ()
    #: Whether it comes up only where it is named, or needed.
    on_request: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def folder(self) -> Path:
        """Its state, log and pid files."""
        return STATE / self.name

    @property
    def log(self) -> Path:
        """The log that ``logs`` shows; a part of several processes has the others beside it."""
        return self.folder / f"{self.name}.log"

    @abstractmethod
    def answers(self) -> bool:
        """Whether it does its work now: asked over its own interface, never by looking for a process."""

    @abstractmethod
    def start(self) -> None:
        """Bring it up and return once it answers; what still runs of a half-dead one is used or replaced.

        :raises local.StackError: when it does not come up, with the cause from its log.
        """

    @abstractmethod
    def stop(self) -> None:
        """End its processes and undo what it did to the machine; harmless when it is not up."""
