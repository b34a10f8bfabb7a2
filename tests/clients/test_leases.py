import asyncio
import datetime as dt

import pytest

from tke_provider.clients import leases
from tke_provider.exceptions import BusyError

pytestmark = pytest.mark.stack


async def holder(place):
    live = await place.cluster.get(leases.lease_of(place.namespace, "web"))
    return live["spec"].get("holderIdentity") if live else None


async def test_one_holds_it_and_the_other_is_told_who(place):
    await leases.acquire(place.cluster, place.namespace, "web", "one")
    with pytest.raises(BusyError, match=f"web in namespace {place.namespace} is being changed by one"):
        await leases.acquire(place.cluster, place.namespace, "web", "two")


async def test_its_holder_may_take_it_again(place):
    await leases.acquire(place.cluster, place.namespace, "web", "one")
    first = await place.cluster.get(leases.lease_of(place.namespace, "web"))
    await leases.renew(place.cluster, place.namespace, "web", "one")
    again = await place.cluster.get(leases.lease_of(place.namespace, "web"))
    assert again["spec"]["acquireTime"] == first["spec"]["acquireTime"]
    assert again["spec"]["renewTime"] > first["spec"]["renewTime"]


async def test_what_is_given_back_is_free(place):
    await leases.acquire(place.cluster, place.namespace, "web", "one")
    await leases.release(place.cluster, place.namespace, "web", "one")
    await leases.acquire(place.cluster, place.namespace, "web", "two")
    assert await holder(place) == "two"


async def test_nobody_gives_back_what_another_holds(place):
    await leases.acquire(place.cluster, place.namespace, "web", "one")
    await leases.release(place.cluster, place.namespace, "web", "two")
    assert await holder(place) == "one"


async def test_giving_back_what_was_never_taken_does_nothing(place):
    await leases.release(place.cluster, place.namespace, "web", "one")
    assert await holder(place) is None


async def test_who_died_loses_it_when_it_expires(place):
    await leases.acquire(place.cluster, place.namespace, "web", "one")
    past = dt.datetime.now(dt.timezone.utc) - dt.timedelta(seconds=leases.SECONDS + 1)
    ref = leases.lease_of(place.namespace, "web")
    await place.cluster.patch(ref, {"spec": {"renewTime": past.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}})
    await leases.acquire(place.cluster, place.namespace, "web", "two")
    assert await holder(place) == "two"


async def test_of_many_at_once_one_gets_it(place):
    tries = [leases.acquire(place.cluster, place.namespace, "web", f"op-{number}") for number in range(8)]
    ended = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(each is None for each in ended) == 1
    assert all(each is None or isinstance(each, BusyError) for each in ended)
