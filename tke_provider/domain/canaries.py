"""Canaries: how large a part of the requests the new version gets, step by step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

CANARY = "canary"
"""The track of a canary's objects."""
BY_REPLICAS, BY_INGRESS, BY_CLB = TRAFFIC = ("replicas", "ingress", "clb")
"""What gives a canary its share: the number of its pods, an Ingress of ingress-nginx, or the weights behind a CLB."""
SCALE_DOWN_DELAY = 5.0
"""Seconds for which a canary's pods outlast the share that its Ingress gave them, unless said otherwise.

ingress-nginx takes changes over at most every 3.3 seconds
(https://kubernetes.github.io/ingress-nginx/user-guide/cli-arguments/, ``--sync-rate-limit`` 0.3), and its workers look
for new weights each second (``BACKENDS_SYNC_INTERVAL`` of its ``balancer.lua``): until then they send to these pods.
"""

_WHOLE = 100
_MOST_DELAY = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A step of a canary.

    :param weight: percent of the requests that go to the new version, more than 0 and less than 100.
    :param pause: seconds that the new version has to stay good at this weight, counted from when it is up.
    """

    weight: float
    pause: float = 0.0

    @classmethod
    def parse(cls, given: StepLike) -> Step:
        """Read a step: the weight alone, or ``{"weight": 10, "pause": 60}``.

        :raises InputError: when it makes no sense.
        """
        fields: Mapping[str, Any] = given if isinstance(given, Mapping) else {"weight": given}
        if isinstance(given, Step):
            fields = dataclasses.asdict(given)
        try:
            step = cls(**{name: float(value) for name, value in fields.items()})
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{given!r} is no step of a canary", cause=str(error), way_out='write {"weight": 10, "pause": 60}'
            ) from error
        if not 0 < step.weight < _WHOLE or not 0 <= step.pause < float("inf"):
            raise InputError(f"{given!r} is no step of a canary", way_out="0 < weight < 100, and pause in seconds")
        return step


StepLike: TypeAlias = "Step | Mapping[str, Any] | float"


def parse_steps(given: Sequence[StepLike]) -> list[Step]:
    """Read the steps of a canary.

    :raises InputError: when there is none, or one does not go further than the one before.
    """
    steps = [Step.parse(each) for each in given]
    weights = [step.weight for step in steps]
    if not steps or weights != sorted(set(weights)):
        raise InputError(f"The steps of a canary go to {weights} percent", way_out="write at least one, each further")
    return steps


def check_delay(seconds: float) -> float:
    """Return the delay; while it lasts a release has ended, but still holds its leases.

    :raises InputError: when it is no such time.
    """
    if not 0 <= seconds <= _MOST_DELAY:
        raise InputError(f"scale_down_delay is {seconds!r}", way_out=f"write seconds, from 0 to {_MOST_DELAY:g}")
    return seconds


def check_whole(steps: Sequence[Step]) -> None:
    """Refuse weights that an Ingress cannot have.

    :raises InputError: when one is no whole percent.
    """
    broken = [step.weight for step in steps if step.weight != int(step.weight)]
    if broken:
        raise InputError(
            f"An Ingress cannot give a canary {broken[0]:g} percent", way_out="write whole percents from 1 to 99"
        )


def pods_to_bear(weight: float, stable: int) -> int:
    """Return how many pods bear this share of the requests at the load that each stable one has now, at least one."""
    return max(1, math.ceil(stable * weight / _WHOLE))


def pods_for(weight: float, stable: int) -> int:
    """Return how many pods get this share of the requests beside the stable ones, at least one.

    ``canary / (canary + stable) = weight / 100``, to the nearest number. The stable pods all stay: whatever happens
    to the canary, what serves can bear the whole load, and no other writer of its size is met.
    """
    return max(1, int(stable * weight / (_WHOLE - weight) + 0.5))
