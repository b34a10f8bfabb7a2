"""From an Airflow connection to a source of pushes: who may deliver, and what a delivery starts."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from tke_provider.clients.git import check_source
from tke_provider.domain.pushes import Wanted
from tke_provider.domain.senders import SENDERS
from tke_provider.exceptions import InputError, NotFoundError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

CHOICES = ("every", "latest")
PER_MINUTE = 60
_NAME = re.compile(r"[A-Za-z0-9_.+-]{1,150}")
"""Connection ids that can be part of an address and of a run's id; others need not be looked up."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """One place that pushes are delivered from.

    :param sender: which host, one of ``SENDERS``.
    :param wanted: what a delivery starts.
    :param build: ``every`` builds each push; ``latest`` skips runs that still wait when a newer push of the same branch
        arrives.
    :param per_minute: deliveries that are taken in a minute; more are asked to come later.
    """

    name: str
    sender: str
    wanted: Wanted
    build: str = "every"
    per_minute: int = PER_MINUTE
    secret: str = dataclasses.field(default="", repr=False)


class WebhookHook(BaseHook):
    """Reads a source of pushes from a connection of type ``tke_webhook``, whose id is the source's name in the URL.

    :param tke_webhook_conn_id: the connection; its password is the secret that the sender knows.
    """

    conn_name_attr = "tke_webhook_conn_id"
    default_conn_name = "tke_webhook_default"
    conn_type = "tke_webhook"
    hook_name = "Webhook for Tencent Kubernetes Engine"

    def __init__(self, tke_webhook_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.tke_webhook_conn_id = tke_webhook_conn_id

    def source(self) -> Source:
        """Return the source.

        :raises NotFoundError: when there is no such connection, or it is of another type.
        :raises InputError: when the connection is incomplete; names the field.
        """
        name = self.tke_webhook_conn_id
        connection = self._connection(name) if _NAME.fullmatch(name) else None
        if connection is None or connection.conn_type != self.conn_type:
            raise NotFoundError(
                f"There is no source {name!r}", way_out=f"add a connection of that id and of type {self.conn_type}"
            )
        try:
            return _source(name, connection.password or "", connection.extra_dejson)
        except InputError as error:
            raise InputError(f"Connection {name} is not complete: {error.problem}", way_out=error.way_out) from error

    def _connection(self, name: str) -> Connection | None:
        try:
            return self.get_connection(name)
        except AirflowNotFoundException:
            return None

    def test_connection(self) -> tuple[bool, str]:
        """Say what a delivery would start, for the Test button."""
        try:
            source = self.source()
        except InputError as error:
            return False, str(error)
        return True, f"Pushes of {', '.join(source.wanted.repositories)} start {source.wanted.dag_id}."


def _source(name: str, secret: str, extra: dict[str, Any]) -> Source:
    sender, build = str(extra.get("sender") or ""), str(extra.get("build") or "every")
    if sender not in SENDERS:
        raise InputError(f"its sender is {sender!r}", way_out=f"choose one of {', '.join(SENDERS)}")
    if build not in CHOICES:
        raise InputError(f"build is {build!r}", way_out=f"choose one of {', '.join(CHOICES)}")
    if not secret.strip():
        raise InputError("it has no secret", way_out="fill in Secret, and let the sender use the same")
    given: dict[str, Any] = {"dag_id": str(extra.get("dag_id") or ""), "repositories": _words(extra, "repositories")}
    given |= {each: words for each in ("branches", "tags", "paths") if (words := _words(extra, each))}
    for address in given["repositories"]:
        if "://" in address:  # an image has none
            check_source(address)
    if extra.get("params"):
        given["params"] = _params(extra["params"])
    return Source(name, sender, Wanted(**given), build, _rate(extra.get("per_minute")), secret)


def _words(extra: dict[str, Any], name: str) -> tuple[str, ...]:
    given = extra.get(name) or []
    if not isinstance(given, (str, list)):
        raise InputError(f"{name} is {given!r}", way_out="write them one after the other, separated by spaces")
    return tuple(given.replace(",", " ").split() if isinstance(given, str) else map(str, given))


def _rate(given: object) -> int:
    if given in (None, ""):
        return PER_MINUTE
    if not str(given).isdecimal() or not int(str(given)):
        raise InputError(f"per_minute is {given!r}", way_out="give a number from 1 up")
    return int(str(given))


def _params(given: Any) -> dict[str, str]:
    try:
        params = json.loads(given) if isinstance(given, str) else given
        return {str(param): str(field) for param, field in params.items()}
    except (AttributeError, ValueError) as error:
        raise InputError("its parameters are no JSON object", way_out='write {"parameter": "field"}') from error
