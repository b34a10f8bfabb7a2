"""The emulator in a thread of the test, driven by Tencent's own SDK."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from tests.conftest import emulating
from tke_provider.emulator.cloud import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tke_provider.emulator.cloud import Cloud

SECRET_ID, SECRET_KEY = "AKIDemulatortests", "the-secret-key-of-these-tests"
CLUSTER, REGULAR, NATIVE, SUPER = "cls-local000", "np-regular0", "np-native00", "np-super000"
REGISTRY = "tcr-local000"


@dataclass
class Emulator:
    """A running emulator and how to call it."""

    cloud: Cloud
    address: str
    credential: Credential
    region: str = "ap-guangzhou"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def as_(self, secret_id: str, secret_key: str, token: str | None = None) -> Emulator:
        """The same emulator for another caller."""
        return Emulator(self.cloud, self.address, Credential(secret_id, secret_key, token), self.region)

    def client(self, kind: type) -> Any:
        """A client of the official SDK."""
        profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=self.address))
        return kind(self.credential, self.region, profile)

    def tke(self, action: str, **params: object) -> dict[str, Any]:
        from tencentcloud.tke.v20180525.tke_client import TkeClient

        return self.client(TkeClient).call_json(action, params)["Response"]

    def tke2022(self, action: str, **params: object) -> dict[str, Any]:
        from tencentcloud.tke.v20220501.tke_client import TkeClient

        return self.client(TkeClient).call_json(action, params)["Response"]

    def tcr(self, action: str, **params: object) -> dict[str, Any]:
        from tencentcloud.tcr.v20190924.tcr_client import TcrClient

        return self.client(TcrClient).call_json(action, params)["Response"]

    def tcss(self, action: str, **params: object) -> dict[str, Any]:
        from tencentcloud.tcss.v20201101.tcss_client import TcssClient

        return self.client(TcssClient).call_json(action, params)["Response"]

    def sts(self, action: str, **params: object) -> dict[str, Any]:
        from tencentcloud.sts.v20180813.sts_client import StsClient

        return self.client(StsClient).call_json(action, params)["Response"]

    def activities(self) -> list[dict[str, Any]]:
        from tencentcloud.common.common_client import CommonClient

        profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=self.address))
        client = CommonClient("as", "2018-04-19", self.credential, self.region, profile)
        return client.call_json("DescribeAutoScalingActivities", {})["Response"]["ActivitySet"]

    def pool(self, pool_id: str = REGULAR) -> dict[str, Any] | None:
        """A pool as the older API version shows it, None if it is not there."""
        wanted = [{"Name": "NodePoolsId", "Values": [pool_id]}]
        found = self.tke("DescribeClusterNodePools", ClusterId=CLUSTER, Filters=wanted)["NodePoolSet"]
        return found[0] if found else None

    def native(self, pool_id: str = NATIVE) -> dict[str, Any] | None:
        wanted = [{"Name": "NodePoolsId", "Values": [pool_id]}]
        found = self.tke2022("DescribeNodePools", ClusterId=CLUSTER, Filters=wanted)["NodePools"]
        return found[0] if found else None

    def desire(self, number: int) -> dict[str, Any]:
        """Set how many machines the regular pool shall have."""
        return self.tke(
            "ModifyNodePoolDesiredCapacityAboutAsg", ClusterId=CLUSTER, NodePoolId=REGULAR, DesiredCapacity=number
        )

    def admin(self, method: str, path: str, /, **body: object) -> dict[str, Any]:
        """The remote control."""
        import httpx

        with httpx.Client(trust_env=False) as client:
            answer = client.request(method, f"{self.url}/_emulator/{path}".rstrip("/"), json=body or None)
        assert answer.is_success, answer.text
        return answer.json()


@contextmanager
def serving(settings: Settings) -> Iterator[Emulator]:
    with emulating(settings) as (cloud, url):
        root = cloud.state.root
        yield Emulator(cloud, url.removeprefix("http://"), Credential(root, cloud.state.keys[root].secret_key))


@pytest.fixture(scope="session")
def _session(tmp_path_factory) -> Iterator[Emulator]:
    with serving(Settings(tmp_path_factory.mktemp("emulator") / "state.json", SECRET_ID, SECRET_KEY)) as emulator:
        yield emulator


@pytest.fixture
def emulator(_session: Emulator) -> Emulator:
    """One emulator in its first state."""
    with _session.cloud.lock:
        _session.cloud.reset()
    return _session


@pytest.fixture
def refused() -> Callable[..., Any]:
    """Expect an error of this code."""

    @contextmanager
    def expect(code: str, message: str = "") -> Iterator[None]:
        with pytest.raises(TencentCloudSDKException) as caught:
            yield
        assert caught.value.code == code, caught.value
        assert message in str(caught.value.message)

    return expect
