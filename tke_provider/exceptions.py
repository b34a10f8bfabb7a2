"""Every error of the provider as one tree, sorted by who must act.

::

    TkeError
    ├── InputError             the author of the DAG, or whoever filled in the form
    │   ├── NotFoundError        what they named does not exist
    │   └── ManifestError        what they wrote cannot be understood
    ├── AccessError            whoever manages credentials and permissions
    │   ├── CredentialError      the cloud, cluster or registry does not know who is asking
    │   └── ForbiddenError       it knows, and says no
    ├── ChangeError            the developers of the service
    │   ├── BuildError           the commit does not become an image
    │   ├── ChecksFailedError    the image does not pass its checks
    │   └── RolloutError         the image does not come up in the cluster
    ├── ConflictError          whoever else works on the same thing
    │   ├── OwnedError           something else writes this number or field
    │   └── BusyError            another change is under way                         (retry helps)
    ├── CapacityError          whoever manages quotas, stock and money
    └── UnavailableError       nobody: wait                                         (retry helps)
        ├── ThrottledError       too many calls in this second                       (retry helps)
        ├── InconclusiveError    a check gave no answer either way                   (retry helps)
        └── DeadlineError        it did not happen in the time given

A task that ends with an error on which no retry helps fails at once, whatever its ``retries``.
"""

from __future__ import annotations


class TkeError(Exception):
    """One sentence: what is wrong with which thing, why in the system's own words, and the way out.

    :param problem: names the thing and what is wrong with it, without a full stop.
    :param cause: the cause as the system put it, with its code; left out where the problem is the cause.
    :param way_out: what the reader can do, as an imperative.
    """

    retryable = False

    def __init__(self, problem: str, *, cause: str = "", way_out: str) -> None:
        self.problem = problem
        self.cause = " ".join(cause.split())
        self.way_out = way_out
        super().__init__(": ".join(part for part in (problem, self.cause.rstrip(".")) if part) + f"; {way_out}.")

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between processes, which passes positional arguments only."""
        return _rebuild, (type(self), self.problem, self.cause, self.way_out)


def _rebuild(kind: type[TkeError], problem: str, cause: str, way_out: str) -> TkeError:
    return kind(problem, cause=cause, way_out=way_out)


class InputError(TkeError):
    """A value given to a task cannot be used. Nothing was changed."""


class NotFoundError(InputError):
    """What a task names does not exist: a cluster, node pool, repository, commit or workload."""


class ManifestError(InputError):
    """A manifest or specification cannot be understood, or contradicts itself."""


class AccessError(TkeError):
    """Access was refused."""


class CredentialError(AccessError):
    """The credentials are missing, wrong or expired."""


class ForbiddenError(AccessError):
    """The credentials are known and lack a permission; the message names it where the system does."""


class ChangeError(TkeError):
    """The change itself does not work. What ran before still runs, unless the message says otherwise."""


class BuildError(ChangeError):
    """The commit does not build; the message carries the failing step."""


class ChecksFailedError(ChangeError):
    """A check ran to its end and says no."""


class RolloutError(ChangeError):
    """The new version does not come up; the message names the pod and why."""


class ConflictError(TkeError):
    """Something else has a claim on the same thing."""


class OwnedError(ConflictError):
    """A number or field has another writer (HPA, KEDA, autoscaler, field manager); the message names it."""


class BusyError(ConflictError):
    """Another change of the same thing is under way."""

    retryable = True


class CapacityError(TkeError):
    """The cloud cannot give more: sold out, quota used up, subnet full, no money."""


class UnavailableError(TkeError):
    """The other side did not answer, or not yet."""

    retryable = True


class ThrottledError(UnavailableError):
    """The other side asked for fewer calls."""


class InconclusiveError(UnavailableError):
    """A check ended without a yes or a no, which is never taken for a yes."""


class DeadlineError(UnavailableError):
    """The time that the task gave ran out; the message says what was still missing."""

    retryable = False
