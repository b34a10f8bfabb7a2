"""Tokens, as TCR issues them: the registry names a token service, and the login goes there alone."""

from __future__ import annotations

import base64
import datetime as dt
import json
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.clients.test_registry import digest_of
from tke_provider.clients.registry import ImageRegistry
from tke_provider.clients.tcr import RegistryLogin
from tke_provider.domain.images import Image
from tke_provider.exceptions import CredentialError, ForbiddenError, InputError, UnavailableError


@pytest.fixture(scope="module")
def signer():
    """The key that the token service signs with, and the certificate that the registry trusts."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
    now = dt.datetime.now(dt.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(hours=1))
    return key, certificate.sign(key, hashes.SHA256())


class _Tokens(BaseHTTPRequestHandler):
    """A token service that knows one user, who may use the namespace ``tests``."""

    signer: tuple
    asked: list

    def do_GET(self) -> None:
        scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
        self.asked.append((self.headers.get("Authorization"), scopes))
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"user:secret").decode():
            self.send_error(401)
            return
        parts = [scope.split(":") for scope in scopes]
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in parts
            if name.startswith("tests/")
        ]
        key, certificate = self.signer
        now = int(time.time())
        claims = {"iss": "tokens", "aud": "registry", "iat": now, "nbf": now - 10, "exp": now + 60, "access": access}
        chain = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
        body = json.dumps({"token": jwt.encode(claims, key, "RS256", headers={"x5c": [chain]})}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def tokens(signer):
    """The token service: its URL, and what it was asked."""
    handler = type("Tokens", (_Tokens,), {"signer": signer, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token", handler.asked
        server.shutdown()
        thread.join()


@pytest.fixture
def token_registry(stack, tokens, signer, tmp_path):
    """A real registry that takes the tokens of that service only: its host."""
    bundle = tmp_path / "tokens.pem"
    bundle.write_bytes(signer[1].public_bytes(serialization.Encoding.PEM))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = {"realm": tokens[0], "service": "registry", "issuer": "tokens", "rootcertbundle": str(bundle)}
    config = tmp_path / "registry.json"  # JSON is YAML
    config.write_text(
        json.dumps(
            {
                "version": "0.1",
                "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
                "http": {"addr": f"127.0.0.1:{port}"},
                "auth": {"token": token},
            }
        )
    )
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
        transport = httpx.HTTPTransport(retries=8)  # waits until the port is open
        with httpx.Client(transport=transport) as client:
            client.get(f"http://127.0.0.1:{port}/v2/")
        yield f"127.0.0.1:{port}"
        process.terminate()
        process.wait()


@pytest.mark.stack
async def test_a_registry_with_a_token_service_is_pushed_to_with_its_tokens(registry, image, token_registry, tokens):
    login = RegistryLogin(token_registry, "user", "secret", float("inf"))
    async with (
        ImageRegistry(registry.host, registry.login()) as source,
        ImageRegistry(token_registry, login) as target,
    ):
        await source.promote(image, target, "tests/web", "1.0")
        promoted = Image(f"{token_registry}/tests/web", image.digest)
        await target.promote(promoted, target, "tests/production", "1.0")
        assert await target.digest("tests/production", "1.0") == image.digest
    scopes = [scopes for _, scopes in tokens[1]]
    assert ["repository:tests/production:pull,push", "repository:tests/web:pull"] in scopes


@pytest.mark.stack
async def test_the_token_services_no_is_a_matter_of_credentials_and_the_registrys_of_permissions(token_registry):
    wrong = RegistryLogin(token_registry, "user", "wrong", float("inf"))
    with pytest.raises(CredentialError, match="refuses the login"):
        await digest_of(wrong, "tests/web", "1.0")
    right = RegistryLogin(token_registry, "user", "secret", float("inf"))
    with pytest.raises(ForbiddenError, match="does not let this login use others/web"):
        await digest_of(right, "others/web", "1.0")


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"[]", b"{}"])
async def test_a_token_service_without_a_token_is_worth_a_retry(body):
    class Portal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Portal) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        async with ImageRegistry("demo.tencentcloudcr.com") as speaker:
            with pytest.raises(UnavailableError, match="answers without a token") as caught:
                await speaker._token({"realm": f"http://127.0.0.1:{server.server_port}/token"}, [])
        server.shutdown()
        thread.join()
    assert caught.value.retryable


async def test_a_login_is_not_sent_to_a_token_service_without_encryption():
    login = RegistryLogin("demo.tencentcloudcr.com", "user", "secret", float("inf"))
    async with ImageRegistry(login.host, login) as speaker:
        with pytest.raises(InputError, match=r"wants its login sent to 'http://tokens\.example/token', unencrypted"):
            await speaker._token({"realm": "http://tokens.example/token"}, [])
