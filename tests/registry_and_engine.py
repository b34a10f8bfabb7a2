"""The stack's registry and Docker engine, for the tests that build, push and run images."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import tarfile
import uuid
from pathlib import Path

import pytest

_PROGRAMS = ("cat", "echo", "env", "head", "id", "ls", "mkdir", "nproc", "sh", "sleep", "tail", "true", "false")


@dataclasses.dataclass(frozen=True)
class StackRegistry:
    """The registry of the stack."""

    host: str
    username: str
    password: str

    def login(self, password: str | None = None):
        """Return our login, or one with another password."""
        from tke_provider.clients.tcr import RegistryLogin

        return RegistryLogin(self.host, self.username, password or self.password, float("inf"))

    def connect(self, monkeypatch: pytest.MonkeyPatch, conn_id: str, **more: object) -> str:
        """Make it an Airflow connection of type docker."""
        fields = {"conn_type": "docker", "host": self.host, "login": self.username, "password": self.password}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({**fields, **more}))
        return conn_id

    def push(self, repository: str, tag: str) -> str:
        """Push an image without a layer, different for each tag; return its digest."""
        import httpx

        address, kind = f"http://{self.host}/v2/{repository}", "application/vnd.oci.image"
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": {"tag": tag}}}).encode()
        digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
        described = {"mediaType": f"{kind}.config.v1+json", "digest": digest, "size": len(config)}
        manifest = {"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json", "config": described, "layers": []}
        with httpx.Client(auth=(self.username, self.password), timeout=60) as client:
            upload = httpx.URL(client.post(f"{address}/blobs/uploads/").raise_for_status().headers["Location"])
            client.put(upload.copy_merge_params({"digest": digest}), content=config).raise_for_status()
            headers = {"Content-Type": f"{kind}.manifest.v1+json"}
            pushed = client.put(f"{address}/manifests/{tag}", json=manifest, headers=headers).raise_for_status()
        return str(pushed.headers["Docker-Content-Digest"])


@pytest.fixture
def registry(stack) -> StackRegistry:
    """The registry, which wants a login."""
    password = Path(os.environ["TKE_TEST_REGISTRY_PASSWORD_FILE"]).read_text().strip()
    return StackRegistry(os.environ["TKE_TEST_REGISTRY"], os.environ["TKE_TEST_REGISTRY_USER"], password)


@pytest.fixture
def tcr_cloud(registry, tmp_path, monkeypatch):
    """An emulated Tencent Cloud in front of the registry and the live cluster, as the connection tke_default."""
    from tests.conftest import EmulatedCloud, emulating, own_pools
    from tke_provider.emulator.cloud import Settings

    settings = Settings(
        tmp_path / "tcr.json",
        "AKIDtests",
        "secret-key",
        pools=own_pools(),
        temporary=True,
        kubeconfig=Path(os.environ["TKE_TEST_KUBECONFIG"]),
        registry=f"http://{registry.host}",
        registry_user=registry.username,
        registry_password=registry.password,
    )
    with emulating(settings) as (_, url):
        cloud = EmulatedCloud(url, "AKIDtests", "secret-key")
        cloud.connect(monkeypatch, use_external_endpoint=True)
        yield cloud


@pytest.fixture
def docker_api(stack):
    """The engine, as the docker package speaks to it."""
    from docker import APIClient

    with contextlib.closing(APIClient(os.environ.get("DOCKER_HOST"))) as api:
        yield api


@pytest.fixture
def engine(docker_api, registry):
    """The engine, logging in to the registry as we do."""
    from tke_provider.clients.engine import Engine

    async def login():
        return registry.login()

    return Engine(docker_api, login)


@pytest.fixture
def base(docker_api) -> str:
    """A base image on the engine that holds a shell and little else; made once."""
    from local.packages import need

    name = "tke-tests/base:1"
    if not docker_api.images(name):
        need("busybox-static")
        docker_api.import_image_from_data(_shell(), repository="tke-tests/base", tag="1")
    return name


@pytest.fixture
def repository(registry) -> str:
    """The name of a repository that does not exist yet."""
    return f"{registry.host}/tests/{uuid.uuid4().hex}"


@pytest.fixture
def build(repository):
    """What there is to say about a build of a folder."""
    from tke_provider.domain.images import Build

    return Build(repository)


@pytest.fixture
def context(tmp_path, base):
    """A folder whose Dockerfile has the lines that it is called with."""

    def write(*lines: str, start: str = base) -> Path:
        folder = tmp_path / "context"
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text("\n".join((f"FROM {start}", *lines)))
        (folder / "content").write_text(uuid.uuid4().hex)
        return folder

    return write


@pytest.fixture
def image(engine, build, context):
    """An image with a shell, in the registry and on the engine."""
    from tke_provider.domain.images import Image

    digest = asyncio.run(engine.build(context("COPY content /content"), build, lambda _: None))
    return Image(build.repository, digest)


def _shell() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add("/bin/busybox", "bin/busybox")
        for name in _PROGRAMS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(folder)
    return buffer.getvalue()
