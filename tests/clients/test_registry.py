from __future__ import annotations

import datetime as dt
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tke_provider.clients.registry import ImageRegistry
from tke_provider.clients.tcr import RegistryLogin
from tke_provider.domain.images import CREATED, Build, Image
from tke_provider.exceptions import (
    ConflictError,
    CredentialError,
    InputError,
    NotFoundError,
    UnavailableError,
)

TAG = Build("registry/any").tag


@pytest.fixture
def other(registry) -> RegistryLogin:
    """The same registry under another name: another registry to whoever copies an image there."""
    login = registry.login()
    return RegistryLogin(f"localhost:{registry.host.partition(':')[2]}", login.username, login.password, login.expires)


async def digest_of(login: RegistryLogin, path: str, tag: str) -> str | None:
    async with ImageRegistry(login.host, login) as speaker:
        return await speaker.digest(path, tag)


@pytest.mark.stack
async def test_a_tag_stands_for_a_digest_and_a_missing_one_for_none(registry, image):
    assert await digest_of(registry.login(), image.path, TAG) == image.digest
    assert await digest_of(registry.login(), image.path, "nothing") is None
    assert await digest_of(registry.login(), "tests/no-such-repository", TAG) is None


@pytest.mark.stack
async def test_an_image_tells_its_labels(registry, image):
    async with ImageRegistry(registry.host, registry.login()) as speaker:
        labels = await speaker.labels(image.path, image.digest)
    assert dt.datetime.fromisoformat(labels[CREATED]) <= dt.datetime.now(dt.timezone.utc)


@pytest.mark.stack
async def test_a_wrong_or_missing_login_is_told_apart_from_a_missing_image(registry, image):
    with pytest.raises(CredentialError, match="refuses the login") as caught:
        await digest_of(registry.login("wrong-password"), image.path, TAG)
    assert "wrong-password" not in str(caught.value)
    async with ImageRegistry(registry.host) as nobody:
        with pytest.raises(CredentialError, match=f"wants a login for {image.path}"):
            await nobody.digest(image.path, TAG)


@pytest.mark.stack
async def test_a_promoted_image_keeps_its_digest_and_a_repetition_changes_nothing(registry, image):
    async with ImageRegistry(registry.host, registry.login()) as speaker:
        for _ in range(2):
            await speaker.promote(image, speaker, f"{image.path}/production", "1.0")
        assert await speaker.digest(f"{image.path}/production", "1.0") == image.digest
        assert await speaker.labels(f"{image.path}/production", image.digest)


@pytest.mark.stack
async def test_an_image_is_promoted_to_another_registry_content_and_all(registry, image, other):
    async with (
        ImageRegistry(registry.host, registry.login()) as source,
        ImageRegistry(other.host, other) as target,
    ):
        await source.promote(image, target, f"{image.path}/production", "1.0")
    assert await digest_of(other, f"{image.path}/production", "1.0") == image.digest


@pytest.mark.stack
async def test_a_list_of_images_is_promoted_with_all_of_them(registry, image):
    async with ImageRegistry(registry.host, registry.login()) as speaker:
        raw, manifest = await speaker._manifest(image.path, image.digest)
        entry = {"mediaType": manifest["mediaType"], "digest": image.digest, "size": len(raw)}
        kind = "application/vnd.oci.image.index.v1+json"
        index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [entry]}).encode()
        await speaker._ask("PUT", image.path, "manifests/list", headers={"Content-Type": kind}, content=index)
        both = Image(image.repository, str(await speaker.digest(image.path, "list")))
        await speaker.promote(both, speaker, f"{image.path}/production", "1.0")
        assert await speaker.digest(f"{image.path}/production", "1.0") == both.digest
        assert await speaker.labels(f"{image.path}/production", both.digest)


@pytest.mark.stack
async def test_a_tag_is_never_moved_to_another_image(registry, image, engine, build, context):
    newer = Image(image.repository, await engine.build(context("COPY content /new"), build, lambda _: None))
    async with ImageRegistry(registry.host, registry.login()) as speaker:
        await speaker.promote(image, speaker, f"{image.path}/production", "1.0")
        with pytest.raises(ConflictError, match=f"stands for {image.digest} and would have to move to {newer.digest}"):
            await speaker.promote(newer, speaker, f"{image.path}/production", "1.0")
        assert await speaker.digest(f"{image.path}/production", "1.0") == image.digest


@pytest.mark.stack
async def test_an_image_that_has_gone_is_named_and_nothing_is_tagged(registry, image):
    gone = Image(image.repository, "sha256:" + "0" * 64)
    async with ImageRegistry(registry.host, registry.login()) as speaker:
        with pytest.raises(NotFoundError, match=f"does not have {image.path}/manifests/{gone.digest}"):
            await speaker.promote(gone, speaker, f"{image.path}/production", "1.0")
        assert await speaker.digest(f"{image.path}/production", "1.0") is None


async def test_a_registry_that_does_not_answer_is_worth_a_retry():
    async with ImageRegistry("127.0.0.1:1") as nowhere:
        with pytest.raises(UnavailableError, match=r"Registry 127\.0\.0\.1:1 does not answer") as caught:
            await nowhere.digest("tests/web", "1")
    assert caught.value.retryable


class _Overloaded(BaseHTTPRequestHandler):
    """A registry that wants a login, or would, if it were not short of breath."""

    status: int

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/v2/" else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("status", [429, 503])
async def test_a_registry_short_of_breath_is_not_taken_for_one_that_refuses_the_login(status):
    handler = type("Overloaded", (_Overloaded,), {"status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        name = f"127.0.0.1:{server.server_port}"
        async with ImageRegistry(name, RegistryLogin(name, "user", "secret", float("inf"))) as speaker:
            with pytest.raises(UnavailableError, match=f"HTTP {status}") as caught:
                await speaker.digest("tests/web", "1")
        server.shutdown()
        thread.join()
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1:5050", "http://127.0.0.1:5050"), ("demo.tencentcloudcr.com", "https://demo.tencentcloudcr.com")],
)
def test_only_a_registry_on_this_machine_is_spoken_to_unencrypted(host, url):
    assert ImageRegistry(host)._url == url


class _Redirecting(BaseHTTPRequestHandler):
    """A registry that keeps its blobs elsewhere, as those of clouds do, and that elsewhere."""

    elsewhere: str
    seen: list

    def do_GET(self) -> None:
        config = json.dumps({"config": {"Labels": {"kept": "elsewhere"}}}).encode()
        manifest = json.dumps({"config": {"digest": "sha256:" + hashlib.sha256(config).hexdigest()}}).encode()
        self.seen.append((self.path, "Authorization" in self.headers))
        if self.path == "/v2/" and "Authorization" not in self.headers:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="here"')
        elif "/blobs/" in self.path:
            self.send_response(307)
            self.send_header("Location", f"http://{self.elsewhere}/signed")
        else:
            self.send_response(200)
        self.end_headers()
        self.wfile.write({"/signed": config}.get(self.path, manifest if "/manifests/" in self.path else b""))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def test_a_redirect_to_the_registrys_storage_is_followed_without_the_login():
    seen: list[tuple[str, bool]] = []
    handler = type("Storage", (_Redirecting,), {"seen": seen})
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as storage,
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as host,
    ):
        handler.elsewhere = f"127.0.0.1:{storage.server_port}"
        threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in (storage, host)]
        for thread in threads:
            thread.start()
        name = f"127.0.0.1:{host.server_port}"
        async with ImageRegistry(name, RegistryLogin(name, "user", "secret", float("inf"))) as speaker:
            raw = (await speaker._ask("GET", "tests/web", "manifests/1")).content
            labels = await speaker.labels("tests/web", "sha256:" + hashlib.sha256(raw).hexdigest())
        for server, thread in zip((storage, host), threads, strict=True):
            server.shutdown()
            thread.join()
    assert labels == {"kept": "elsewhere"}
    assert dict(seen)["/signed"] is False
    assert dict(seen)["/v2/tests/web/manifests/1"] is True


class _Uploading(BaseHTTPRequestHandler):
    """A registry that holds one blob and, as another one, wants it uploaded to where its test says."""

    location: str
    seen: list

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def do_GET(self) -> None:
        hello = self.path == "/v2/"
        self.send_response(401 if hello else 200)
        self.send_header("WWW-Authenticate", 'Basic realm="here"')
        self.end_headers()
        self.wfile.write(b"" if hello else b"blob")

    def do_POST(self) -> None:
        self.send_response(202)
        self.send_header("Location", self.location.format(port=self.server.server_port))
        self.end_headers()

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.server.server_port, self.path, "Authorization" in self.headers, content))
        self.send_response(201)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def upload():
    """Copy a blob to a registry that names a location; return what was put: to which server, where, with the login."""
    handler = type("Uploads", (_Uploading,), {"seen": []})
    blob = {"digest": "sha256:" + hashlib.sha256(b"blob").hexdigest(), "size": 4}
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as here,
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as there,
    ):
        threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in (here, there)]
        for thread in threads:
            thread.start()

        async def put(location: str) -> list:
            handler.location = location.replace("{there}", str(there.server_port))
            names = [f"{address}:{here.server_port}" for address in ("localhost", "127.0.0.1")]
            logins = [RegistryLogin(name, "user", "secret", float("inf")) for name in names]
            async with ImageRegistry(names[0], logins[0]) as source, ImageRegistry(names[1], logins[1]) as target:
                await source._copy_blob("tests/web", blob, target, "tests/web")
            where = {here.server_port: "here", there.server_port: "there"}
            assert [content for *_, content in handler.seen] == [b"blob"]
            assert all(path.endswith(f"digest={blob['digest']}") for _, path, *_ in handler.seen)
            return [(where[port], login) for port, _, login, _ in handler.seen]

        yield put
        for server, thread in zip((here, there), threads, strict=True):
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "location",
    [
        "/v2/tests/web/blobs/uploads/1?state=a",
        "../uploads/1",
        "http://127.0.0.1:{port}/v2/tests/web/blobs/uploads/1",
        "https://127.0.0.1:{port}/v2/tests/web/blobs/uploads/1",  # we know how it is reached
    ],
)
async def test_a_blob_is_uploaded_to_where_the_registry_says_within_itself(upload, location):
    assert await upload(location) == [("here", True)]


@pytest.mark.parametrize("host", ["127.0.0.1:{there}", "localhost:{port}"])
async def test_a_blob_that_another_host_wants_goes_there_without_the_login(upload, host):
    assert [login for _, login in await upload(f"http://{host}/store/1?signed=x")] == [False]


def test_a_layer_is_not_sent_unencrypted_to_a_host_whose_name_begins_like_the_registrys():
    host = "demo.tencentcloudcr.com"
    answer = httpx.Response(
        202,
        headers={"Location": f"http://{host}.example/store"},
        request=httpx.Request("POST", f"https://{host}/v2/web/blobs/uploads/"),
    )
    with pytest.raises(InputError, match=rf"wants a layer sent to http://{host}\.example, unencrypted"):
        ImageRegistry(host)._upload_url(answer)


def test_a_registry_elsewhere_has_no_layer_sent_to_a_program_on_this_machine():
    host = "demo.tencentcloudcr.com"
    answer = httpx.Response(
        202,
        headers={"Location": "http://127.0.0.1:9000/store"},
        request=httpx.Request("POST", f"https://{host}/v2/web/blobs/uploads/"),
    )
    with pytest.raises(InputError, match=r"wants a layer sent to http://127\.0\.0\.1:9000, unencrypted"):
        ImageRegistry(host)._upload_url(answer)
