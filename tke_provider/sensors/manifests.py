"""Whether what is live is what was applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from tke_provider.exceptions import InputError
from tke_provider.links.commits import CommitLink
from tke_provider.links.console import ClusterLink
from tke_provider.sensors.base import TkeBaseSensor
from tke_provider.triggers.manifests import DriftTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.domain.manifests import Manifest


class TkeDriftSensor(TkeBaseSensor):
    """Waits until what is live differs from what was applied, or until it no longer does.

    Something differs when applying it again would change it, as
    :class:`~tke_provider.operators.manifests.TkeDiffOperator` shows. The log names object, manager and field. What
    controllers write in the course of their work, such as an autoscaler's size, is no drift.

    :param expect: ``drift`` (default) ends when something differs, ``in_sync`` when nothing does.
    :param service: the service whose newest good release counts. Give this, or manifests, or the git repository's
        three.
    :param manifests: as :class:`TkeDiffOperator` takes them. A sensor that is given them waits as Airflow's sensors
        do, never in the triggerer: manifests may hold secrets, and a trigger's arguments lie in the database.
    :param git_url: repository that holds the manifests.
    :param commit: full commit SHA to read them at.
    :param manifests_path: file or folder within the repository. Not a template.
    :param git_conn_id: connection with the login for the git host; none for public repositories.
    :param namespace: of the service, or of all manifests.
    :param cluster_id: default: the connection's.
    :param region: default: the connection's.
    :raises AirflowFailException: when the service has no good release, or the manifests cannot be used.
    """

    template_fields: Sequence[str] = (
        "cluster_id",
        "commit",
        "git_conn_id",
        "git_url",
        "manifests",
        "namespace",
        "region",
        "service",
        "tke_conn_id",
    )
    template_ext = (".yaml", ".yml")
    template_fields_renderers = {"manifests": "yaml"}  # noqa: RUF012  # as Airflow declares it
    operator_extra_links = (ClusterLink(), CommitLink())

    def __init__(
        self,
        *,
        expect: Literal["drift", "in_sync"] = "drift",
        service: str | None = None,
        manifests: str | Sequence[Manifest] | None = None,
        git_url: str | None = None,
        commit: str | None = None,
        manifests_path: str | None = None,
        git_conn_id: str | None = None,
        namespace: str | None = None,
        cluster_id: str | None = None,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.expect = expect
        self.service = service
        self.manifests = manifests
        self.git_url = git_url
        self.commit = commit
        self.manifests_path = manifests_path
        self.git_conn_id = git_conn_id
        self.namespace = namespace
        self.cluster_id = cluster_id
        self.region = region
        if expect not in {"drift", "in_sync"}:
            raise InputError(f"expect is {expect!r}", way_out="write one of 'drift', 'in_sync'")
        if [service, manifests, git_url].count(None) != 2:  # noqa: PLR2004  # one of three
            raise InputError(
                f"Task {self.task_id} does not say what to compare with",
                way_out="pass one of service, manifests and git_url",
            )

    def execute(self, context: Context) -> Any:
        """Look, and wait where that is not the end."""
        if self.manifests is not None:
            self.deferrable = False
        return super().execute(context)

    def trigger(self, deadline: float) -> DriftTrigger:
        """Return what compares."""
        return DriftTrigger(
            tke_conn_id=self.tke_conn_id,
            deadline=deadline,
            poll_interval=self.poke_interval,
            expect=self.expect,
            service=self.service,
            namespace=self.namespace,
            git_url=self.git_url,
            commit=self.commit,
            manifests_path=self.manifests_path,
            git_conn_id=self.git_conn_id,
            cluster_id=self.cluster_id,
            region=self.region,
            manifests=self.manifests,
        )
