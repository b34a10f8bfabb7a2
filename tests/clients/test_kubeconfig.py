import base64
import traceback

import pytest
import yaml

from tke_provider.clients.kubeconfig import parse, secrets_of
from tke_provider.exceptions import CredentialError, InputError


def kubeconfig(user=None, cluster=None, **more):
    whole = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "a", "user": "b"}}],
        "clusters": [{"name": "a", "cluster": cluster or {"server": "https://cluster.example:6443/"}}],
        "users": [{"name": "b", "user": user or {"token": "t0ken"}}],
        **more,
    }
    return yaml.safe_dump(whole)


def test_a_token_goes_into_the_header_and_into_no_representation():
    access = parse(kubeconfig())
    assert access.server == "https://cluster.example:6443"
    assert access.headers == {"Authorization": "Bearer t0ken"}
    assert "t0ken" not in repr(access)


def test_a_token_file_is_read(tmp_path):
    (tmp_path / "token").write_text("t0ken\n", encoding="utf-8")
    assert parse(kubeconfig({"tokenFile": str(tmp_path / "token")})).headers == {"Authorization": "Bearer t0ken"}


def test_a_name_with_password_is_basic_authentication():
    header = parse(kubeconfig({"username": "u", "password": "p"})).headers["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")) == b"u:p"


def test_plain_http_needs_no_certificates():
    assert parse(kubeconfig(cluster={"server": "http://127.0.0.1:8001"})).tls is False


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "is not YAML"),
        ("just words", "is no mapping"),
        (kubeconfig(**{"current-context": "elsewhere"}), "has no context named 'elsewhere'"),
        (kubeconfig(clusters=[]), "has no cluster named 'a'"),
        (kubeconfig(users=None), "has no user named 'b'"),
        (kubeconfig(cluster={"server": "cluster.example"}), "server 'cluster.example' is no URL"),
    ],
)
def test_what_is_no_kubeconfig_is_refused(text, problem):
    with pytest.raises(InputError, match=problem):
        parse(text)


def test_no_error_quotes_what_it_could_not_read():
    with pytest.raises(InputError) as caught:
        parse("token: s3cret: [")
    assert "s3cret" not in str(caught.value)


def test_a_credential_plugin_is_refused_with_a_way_out():
    with pytest.raises(
        CredentialError, match="use a kubeconfig with a client certificate or a service account's token"
    ):
        parse(kubeconfig({"exec": {"command": "aws"}}))


@pytest.mark.parametrize("authority", ["not base64!", base64.b64encode(b"no certificate").decode()])
def test_certificates_that_cannot_be_used_are_refused(authority):
    cluster = {"server": "https://cluster.example", "certificate-authority-data": authority}
    with pytest.raises(CredentialError, match="The certificates in the kubeconfig cannot be used"):
        parse(kubeconfig(cluster=cluster))


# Apart from the test, whose own lines stand in the traceback.
BROKEN = "users:\n- user:\n    token: eyJhbGci.SUPERSECRET: x"


def test_not_even_a_chained_error_quotes_it():
    with pytest.raises(InputError) as refused:
        parse(BROKEN)
    assert "SUPERSECRET" not in "".join(traceback.format_exception(refused.value))


def test_what_must_not_be_shown_is_known():
    text = kubeconfig({"token": "t0ken", "password": "pass", "client-key-data": "a2V5", "username": "ann"})
    assert set(secrets_of(text)) == {"t0ken", "pass", "a2V5"}
    assert secrets_of("a: b: c") == secrets_of("[]") == []


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({"tokenFile": "/nope/file"}, None),
        ({"client-certificate": "/nope/file", "client-key": "/nope/file"}, None),
        (None, {"server": "https://cluster.example", "certificate-authority": "/nope/file"}),
    ],
)
def test_a_file_that_is_not_here_is_named(user, cluster):
    with pytest.raises(CredentialError, match=r"/nope/file.*; pass a kubeconfig"):
        parse(kubeconfig(user, cluster))
