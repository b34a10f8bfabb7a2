"""The scanner's word on an image, as a gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tke_provider.domain.checks import Check, without_tests
from tke_provider.domain.images import Image, ImageDict
from tke_provider.domain.scans import NONE_SEVERE, check_limits, judge
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import ChecksFailedError, DeadlineError, InconclusiveError, InputError, TkeError
from tke_provider.hooks.tcr import TcrHook
from tke_provider.hooks.tcss import TcssHook
from tke_provider.links.console import ImageLink
from tke_provider.operators.base import TkeWaitingOperator
from tke_provider.triggers.scans import ScanTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context


class TcrScanGateOperator(TkeWaitingOperator):
    """Lets an image of TCR go on only when the cloud's scanner found nothing that is not allowed.

    An image that the scanner does not know, that was never scanned, or whose scan failed is inconclusive, which is
    never a pass; a retry looks again. The scanner is a product of its own (TCSS), which has to be bought.

    :param image: what the build task returned, in TCR.
    :param limits: how many are allowed of ``critical``, ``high``, ``medium``, ``low`` (vulnerabilities) and ``virus``;
        default: none that is critical or high, and no virus. What is not named is not looked at.
    :param start_scan: scan the image now unless the scanner is at it or has done it. It costs what the licence says.
    :param registry_id: ``tcr-xxxxxxxx``; default: the connection's.
    :return: ``{"verdict", "counts", "reason", "image", "reports"}``; the counts are zero.
    :raises ChecksFailedError: when the scan found more than is allowed. No retry.
    :raises InconclusiveError: when there is no scan to go by.
    """

    template_fields = ("image", "limits", "registry_id", "tke_conn_id")
    operator_extra_links = (ImageLink(),)
    region = ""
    _scanned_before: str | None = None

    def __init__(
        self,
        *,
        image: ImageDict | str,
        limits: Mapping[str, int] = NONE_SEVERE,
        start_scan: bool = False,
        registry_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image = image
        self.limits = limits
        self.start_scan = start_scan
        self.registry_id = registry_id

    async def change(self, context: Context) -> None:  # noqa: ARG002
        """Check the inputs, and start a scan where that is asked for and nothing is to be had without."""
        image, limits = Image.parse(self.image), self._limits()
        hook = TcrHook(self.tke_conn_id)
        self.region = (await hook.connection()).region
        self.registry_id = self.registry_id or await hook.default_registry()
        if not self.start_scan:
            return
        async with await TcssHook(self.tke_conn_id).tcss() as tcss:
            scan = await tcss.scan(self.registry_id, image.path, image.digest)
            if scan and judge(scan, limits).state is State.INCONCLUSIVE:
                self.log.info("Starting a scan of %s", image)
                await tcss.start(scan)
                self._scanned_before = scan.at

    def trigger(self, context: Context, deadline: float) -> ScanTrigger:  # noqa: ARG002
        """Return what waits while the scanner is at work."""
        image = Image.parse(self.image)
        return ScanTrigger(
            tke_conn_id=self.tke_conn_id,
            deadline=deadline,
            poll_interval=self.poll_interval,
            registry_id=str(self.registry_id),
            repository=image.path,
            digest=image.digest,
            limits=self._limits(),
            scanned_before=self._scanned_before,
        )

    async def conclude(self, context: Context, verdict: Verdict) -> Check:  # noqa: ARG002
        """Return the check, or say what was found, or why nothing is known."""
        image = str(Image.parse(self.image))
        if verdict.state is State.PASSED:
            self.log.info("%s: %s", image, verdict.reason)
            return without_tests(verdict, image)
        if verdict.state is State.FAILED:
            raise ChecksFailedError(
                f"Image {image} does not pass its scan",
                cause=verdict.reason,
                way_out="build it on a newer base image, or with newer packages",
            )
        kind: type[TkeError] = DeadlineError if verdict.state is State.EXPIRED else InconclusiveError
        raise kind(
            f"Nothing is known of what is in image {image}",
            cause=verdict.reason,
            way_out="have its namespace scanned on every push, or give start_scan",
        )

    def _limits(self) -> dict[str, int]:
        try:
            limits = {str(level): int(most) for level, most in dict(self.limits).items()}
        except (TypeError, ValueError) as error:
            raise InputError(f"limits are {self.limits!r}", way_out="give levels and numbers") from error
        check_limits(limits)
        return limits
