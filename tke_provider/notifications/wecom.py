"""One message to a WeCom group for each release, or each failure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import AssetAlias, BaseNotifier

from tke_provider.domain.assets import RELEASES
from tke_provider.domain.messages import failure_message, release_message
from tke_provider.hooks.wecom import WeComHook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.domain.assets import ReleaseEvent


class WeComNotifier(BaseNotifier):
    """Writes one Markdown message to a WeCom group.

    As ``on_success_callback`` of a task that releases, it says what is live; as ``on_failure_callback``, what went
    wrong, in the words of the error. A message that cannot be sent is an error in the log, and changes no task's state.

    :param message: Markdown; default: made from the release, or from the error. Template.
    :param mention: user ids that the message calls.
    :param wecom_conn_id: connection of type ``wecom``, whose password is the key of the group's robot.
    """

    template_fields: Sequence[str] = ("mention", "message", "wecom_conn_id")

    def __init__(
        self,
        *,
        message: str | None = None,
        mention: Sequence[str] = (),
        wecom_conn_id: str = WeComHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.message = message
        self.mention = mention
        self.wecom_conn_id = wecom_conn_id

    def notify(self, context: Context) -> None:
        """Send, from a callback."""
        asyncio.run(self.async_notify(context))

    async def async_notify(self, context: Context) -> None:
        """Send, from the triggerer."""
        text = self.message or _message(context)
        calls = " ".join(f"<@{user}>" for user in self.mention)
        await WeComHook(self.wecom_conn_id).send("\n".join(filter(None, (text, calls))))


def _message(context: Context) -> str:
    if reason := context.get("reason"):  # of a whole run; the task that is in the context as well only ended last
        return f"**{context['dag'].dag_id}** ended: {reason}"
    ti = context["ti"]
    url, what = str(getattr(ti, "log_url", "")), f"{ti.dag_id}.{ti.task_id}"
    if error := context.get("exception"):
        return failure_message(what, str(error), url=url)
    if "outlet_events" in context and (told := context["outlet_events"][AssetAlias(RELEASES)].asset_alias_events):
        return release_message(cast("ReleaseEvent", told[-1].extra), by=what, url=url)
    # A task whose worker died is called back without its error, so nothing is said of how it ended.
    return "\n".join([f"**{what}** ended", *([f"[log]({url})"] if url else [])])
