"""Every host's own way to sign and to write a push down."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.senders import HOUR, MINUTES, SENDERS, is_authentic, payload_of
from tke_provider.exceptions import InputError

NOW = 1_760_000_000.0
SECRET = "s3cret-of-the-hook"
COMMIT, BEFORE = "c" * 40, "b" * 40
BODY = b'{"ref": "refs/heads/main"}'


def mac(message: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(SECRET.encode(), message, algorithm).hexdigest()


GITEE_SIGN = base64.b64encode(
    hmac.new(SECRET.encode(), f"{NOW * 1000:.0f}\n{SECRET}".encode(), hashlib.sha256).digest()
).decode()
GENUINE = {
    "github": {"x-hub-signature-256": f"sha256={mac(BODY)}"},
    "gitlab": {"x-gitlab-token": SECRET},
    "gitea": {"x-gitea-signature": mac(BODY)},
    "gitee": {"x-gitee-token": GITEE_SIGN, "x-gitee-timestamp": f"{NOW * 1000:.0f}"},
    "coding": {"x-coding-signature": f"sha1={mac(BODY, 'sha1')}", "x-coding-delivery": "1"},
    "gongfeng": {"x-token": SECRET},
    "tcr": {"authorization": SECRET},
    "generic": {
        "x-signature": f"sha256={mac(f'{NOW:.0f}.'.encode() + BODY)}",
        "x-timestamp": f"{NOW:.0f}",
    },
}


def test_the_signature_that_github_publishes_as_its_example():
    headers = {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}
    assert is_authentic("github", "It's a Secret to Everybody", headers, b"Hello, World!", NOW)


def test_a_signature_as_gitee_sent_it():
    # Kept by one of its users: https://github.com/renlm/SpringCloud, WebHookSignTest.
    headers = {
        "x-gitee-token": "AbEvusCKxqRkBtTr4fD47SGVP/mRwlt48iuUYMFRloI=",
        "x-gitee-timestamp": "1672135206524",
    }
    assert is_authentic("gitee", "123654", headers, b"{}", 1672135206.0)
    assert not is_authentic("gitee", "123655", headers, b"{}", 1672135206.0)


# Published by Standard Webhooks, whose scheme GitLab's signing token follows: libraries/go/webhook_test.go of
# https://github.com/standard-webhooks/standard-webhooks.
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_BODY, STANDARD_AT = b'{"test": 2432232314}', 1614265330.0
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def test_the_signature_that_standard_webhooks_publishes_is_one_of_gitlabs():
    assert is_authentic("gitlab", STANDARD_SECRET, STANDARD, STANDARD_BODY, STANDARD_AT)
    # While a secret is replaced there are several.
    several = STANDARD | {"webhook-signature": f"v1a,x v1,y {STANDARD['webhook-signature']}"}
    assert is_authentic("gitlab", STANDARD_SECRET, several, STANDARD_BODY, STANDARD_AT)


@pytest.mark.parametrize(
    ("change", "body", "at"),
    [
        ({}, STANDARD_BODY + b" ", STANDARD_AT),
        ({}, STANDARD_BODY, STANDARD_AT + MINUTES + 1),
        ({}, STANDARD_BODY, STANDARD_AT - MINUTES - 1),
        ({"webhook-id": "msg_another"}, STANDARD_BODY, STANDARD_AT),
        ({"webhook-timestamp": "1614265331"}, STANDARD_BODY, STANDARD_AT),
        ({"webhook-signature": ""}, STANDARD_BODY, STANDARD_AT),
        ({"webhook-signature": "v1,"}, STANDARD_BODY, STANDARD_AT),
        ({"webhook-signature": STANDARD["webhook-signature"].removeprefix("v1,")}, STANDARD_BODY, STANDARD_AT),
        # One that signs does not get by with the token alone.
        ({"webhook-signature": "v1,x", "x-gitlab-token": STANDARD_SECRET}, STANDARD_BODY, STANDARD_AT),
    ],
)
def test_a_signature_of_gitlabs_that_does_not_hold_is_refused(change, body, at):
    assert not is_authentic("gitlab", STANDARD_SECRET, STANDARD | change, body, at)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_no base64", "plain", "whsec_====", "geheim\u00e4"])
def test_a_secret_that_spells_no_key_is_the_key_itself_and_never_an_empty_one(secret):
    def signed(key: bytes) -> dict[str, str]:
        made = hmac.new(key, b"1.1760000000." + BODY, hashlib.sha256).digest()
        at = {"webhook-id": "1", "webhook-timestamp": "1760000000"}
        return at | {"webhook-signature": f"v1,{base64.b64encode(made).decode()}"}

    assert is_authentic("gitlab", secret, signed(secret.encode()), BODY, NOW)
    assert not is_authentic("gitlab", secret, signed(b""), BODY, NOW)


def test_a_signature_of_gitea_that_one_of_its_users_published():
    # demo.php of https://github.com/8ctopus/gitea-hook; Gitea's own documentation shows none.
    headers = {"x-gitea-signature": "067ba4bc638c245de6d728095f019e8171148bdc070b98f1f7376b321ccdcd62"}
    assert is_authentic("gitea", "SECRET_KEY", headers, b'{"payload":"test"}', NOW)
    assert not is_authentic("gitea", "SECRET_KEY", headers, b'{"payload":"rest"}', NOW)


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        # RFC 4231, test case 2 (HMAC-SHA-256), as those hosts write it down.
        (
            "github",
            {"x-hub-signature-256": "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        ),
        ("gitea", {"x-gitea-signature": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"}),
        # RFC 2202, test case 2 (HMAC-SHA-1). CODING's documentation shows a signature without the token that made it.
        ("coding", {"x-coding-signature": "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"}),
    ],
)
def test_the_signatures_of_the_rfcs_test_cases(kind, headers):
    assert is_authentic(kind, "Jefe", headers, b"what do ya want for nothing?", NOW)
    assert not is_authentic(kind, "jefe", headers, b"what do ya want for nothing?", NOW)


def test_the_first_delivery_that_codings_documentation_shows():
    # https://e.coding.net/help/git/webhook/. Gongfeng and TCR sign nothing: their documentation has no more to show.
    body = '{"token": "123", "zen": "Coding! 让开发更简单"}'.encode()
    assert is_authentic("coding", "123", {"x-coding-event": "ping"}, body, NOW)
    assert SENDERS["coding"].read({"x-coding-event": "ping"}, payload_of({}, body)) == "event is no push"


def test_a_wrong_signature_of_codings_is_no_better_for_a_token_in_the_body():
    body = json.dumps({"token": SECRET}).encode()
    assert not is_authentic("coding", SECRET, {"x-coding-signature": "sha1=0"}, body, NOW)


@pytest.mark.parametrize("kind", SENDERS)
@pytest.mark.parametrize("secret", ["", " ", "\t\n"])
def test_nobody_knows_a_secret_that_is_empty_though_he_signs_with_it(kind, secret):
    # Made by hand: what each host would send with such a secret.
    at = f"{NOW * 1000:.0f}"
    key = secret.encode()
    headers = {
        "x-hub-signature-256": f"sha256={hmac.new(key, BODY, 'sha256').hexdigest()}",
        "x-gitea-signature": hmac.new(key, BODY, "sha256").hexdigest(),
        "x-gitlab-token": secret,
        "x-gitee-token": secret,
        "x-gitee-timestamp": at,
        "x-coding-signature": f"sha1={hmac.new(key, BODY, 'sha1').hexdigest()}",
        "x-token": secret,
        "authorization": secret,
        "x-timestamp": at,
        "x-signature": f"sha256={hmac.new(key, at.encode() + b'.' + BODY, 'sha256').hexdigest()}",
    }
    assert not is_authentic(kind, secret, headers, BODY, NOW)


def test_a_secret_may_be_written_in_any_script():
    secret = "geheim-\u5bc6\u94a5"
    made = hmac.new(secret.encode(), BODY, hashlib.sha256).hexdigest()
    assert is_authentic("github", secret, {"x-hub-signature-256": f"sha256={made}"}, BODY, NOW)
    # Servers read what arrives as latin-1.
    assert is_authentic("gitlab", secret, {"x-gitlab-token": secret.encode().decode("latin-1")}, BODY, NOW)


@pytest.mark.parametrize("kind", SENDERS)
def test_a_genuine_delivery_is_known(kind):
    assert is_authentic(kind, SECRET, GENUINE[kind], BODY, NOW)


@pytest.mark.parametrize("kind", SENDERS)
def test_what_is_secret_is_compared_in_a_time_that_tells_nothing(kind, monkeypatch):
    # Time is too coarse to be measured here: who decides is asked instead.
    monkeypatch.setattr(hmac, "compare_digest", lambda *_: True)
    assert is_authentic(kind, "another", GENUINE[kind], BODY, NOW)
    monkeypatch.setattr(hmac, "compare_digest", lambda *_: False)
    assert not is_authentic(kind, SECRET, GENUINE[kind], BODY, NOW)


@pytest.mark.parametrize("kind", SENDERS)
def test_another_secret_an_empty_one_and_no_header_are_refused(kind):
    assert not is_authentic(kind, "another", GENUINE[kind], BODY, NOW)
    assert not is_authentic(kind, "", dict.fromkeys(GENUINE[kind], ""), BODY, NOW)
    assert not is_authentic(kind, SECRET, {}, BODY, NOW)


@pytest.mark.parametrize("kind", ["github", "gitea", "coding", "generic"])
def test_where_the_body_is_signed_another_body_is_refused(kind):
    assert not is_authentic(kind, SECRET, GENUINE[kind], BODY + b" ", NOW)


@pytest.mark.parametrize(("kind", "within"), [("gitee", HOUR), ("generic", MINUTES), ("gongfeng", HOUR)])
def test_a_delivery_of_long_ago_or_of_a_time_to_come_is_refused(kind, within):
    headers = GENUINE[kind] | ({"x-send-timestamp": f"{NOW * 1000:.0f}"} if kind == "gongfeng" else {})
    for late in (within - 1, 1 - within):
        assert is_authentic(kind, SECRET, headers, BODY, NOW + late)
    for late in (within + 1, -within - 1):
        assert not is_authentic(kind, SECRET, headers, BODY, NOW + late)


def test_a_password_of_gitees_from_long_ago_is_refused():
    headers = {"x-gitee-token": SECRET, "x-gitee-timestamp": GENUINE["gitee"]["x-gitee-timestamp"]}
    assert not is_authentic("gitee", SECRET, headers, BODY, NOW + HOUR + 1)


@pytest.mark.parametrize("at", ["", "soon", "nan", "inf"])
def test_a_time_that_is_none_is_refused(at):
    headers = {"x-signature": f"sha256={mac(f'{at}.'.encode() + BODY)}", "x-timestamp": at}
    assert not is_authentic("generic", SECRET, headers, BODY, NOW)


def test_gitee_also_sends_a_password_or_an_encoded_signature():
    at = GENUINE["gitee"]["x-gitee-timestamp"]
    for token in (SECRET, quote(GITEE_SIGN, safe="")):
        assert is_authentic("gitee", SECRET, {"x-gitee-token": token, "x-gitee-timestamp": at}, BODY, NOW)


def test_coding_in_its_first_version_carries_the_token_and_the_second_must_sign():
    body = json.dumps({"token": SECRET}).encode()
    assert is_authentic("coding", SECRET, {}, body, NOW)
    assert not is_authentic("coding", SECRET, {"x-coding-delivery": "1"}, body, NOW)
    assert not is_authentic("coding", SECRET, {}, b'{"token": 1}', NOW)


REPOSITORY = {"clone_url": "https://git.example/team/shop.git", "ssh_url": "git@git.example:team/shop.git"}
COMMITS = [{"id": COMMIT, "added": ["a.py"], "modified": ["b.py"], "removed": []}]
PUSH = {"ref": "refs/heads/main", "before": BEFORE, "after": COMMIT, "commits": COMMITS}
EVENTS = {
    "github": ({"x-github-event": "push"}, PUSH | {"repository": REPOSITORY}),
    "gitlab": (
        {"x-gitlab-event": "Push Hook"},
        PUSH | {"project": {"git_http_url": REPOSITORY["clone_url"]}, "total_commits_count": 1},
    ),
    "gitea": ({"x-gitea-event": "push"}, PUSH | {"repository": REPOSITORY, "total_commits": 1}),
    "gitee": ({"x-gitee-event": "Push Hook"}, PUSH | {"repository": {"git_http_url": REPOSITORY["clone_url"]}}),
    "coding": ({"x-coding-event": "push"}, PUSH | {"repository": REPOSITORY}),
    "gongfeng": (
        {"x-event": "Push Hook"},
        PUSH | {"repository": {"git_http_url": REPOSITORY["clone_url"]}, "total_commits_count": 1},
    ),
}


@pytest.mark.parametrize("kind", EVENTS)
def test_a_push_is_read(kind):
    headers, payload = EVENTS[kind]
    (push,) = SENDERS[kind].read(headers, payload)
    assert (push.branch, push.tag, push.commit, push.paths) == ("main", "", COMMIT, ("a.py", "b.py"))
    assert REPOSITORY["clone_url"] in push.urls


@pytest.mark.parametrize("kind", EVENTS)
def test_other_events_and_deletions_build_nothing(kind):
    headers, payload = EVENTS[kind]
    (name,) = headers
    assert SENDERS[kind].read({name: "ping"}, payload) == "event is no push"
    assert SENDERS[kind].read(headers, payload | {"after": "0" * 40}) == "ref was deleted"


def test_a_tag_with_a_message_is_the_commit_behind_it():
    tag = PUSH | {"ref": "refs/tags/v1", "after": "e" * 40, "repository": REPOSITORY}
    (push,) = SENDERS["github"].read({"x-github-event": "push"}, tag | {"head_commit": {"id": COMMIT}})
    assert (push.branch, push.tag, push.commit) == ("", "v1", COMMIT)
    (push,) = SENDERS["gitlab"].read({"x-gitlab-event": "Tag Push Hook"}, tag | {"checkout_sha": COMMIT})
    assert push.commit == COMMIT


@pytest.mark.parametrize(
    "change",
    [
        {"forced": True},
        {"created": True},
        {"before": "0" * 40},
        {"commits": []},
        {"total_commits_count": 21},
        {"commits": [{"id": COMMIT}]},
        {"commits": COMMITS * 2048},
    ],
)
def test_a_list_of_files_that_may_be_short_of_some_is_none(change):
    (push,) = SENDERS["github"].read({"x-github-event": "push"}, PUSH | {"repository": REPOSITORY} | change)
    assert push.paths is None


def test_a_branch_of_codings_first_version():
    payload = PUSH | {"ref": "head/release/1", "repository": {"https_url": REPOSITORY["clone_url"]}}
    (push,) = SENDERS["coding"].read({"x-coding-event": "push"}, payload)
    assert push.branch == "release/1"


def test_images_pushed_to_tcr():
    digest = "sha256:" + "a" * 64
    resource = {"digest": digest, "tag": "v1.2", "resource_url": "shop.tencentcloudcr.com/public/nginx:v1.2"}
    payload = {"type": "pushImage", "occur_at": 1589106605, "event_data": {"resources": [resource]}}
    (push,) = SENDERS["tcr"].read({}, payload)
    assert (push.urls, push.tag, push.digest) == (("shop.tencentcloudcr.com/public/nginx",), "v1.2", digest)
    assert SENDERS["tcr"].read({}, payload | {"type": "pushChart"}) == "event is no push"


def test_more_images_than_a_delivery_may_name_start_nothing():
    resource = {"digest": "sha256:" + "a" * 64, "resource_url": "shop.tencentcloudcr.com/public/nginx"}
    many = [resource | {"tag": f"v{number}"} for number in range(21)]
    payload = {"type": "pushImage", "event_data": {"resources": many}}
    with pytest.raises(InputError, match="more than 20 images"):
        SENDERS["tcr"].read({}, payload)
    assert len(SENDERS["tcr"].read({}, payload | {"event_data": {"resources": many[:20]}})) == 20


@pytest.mark.parametrize("ref", ["refs/notes/commits", "refs/pull/1/head", "refs/changes/01/1/1"])
def test_what_is_neither_a_branch_nor_a_tag_builds_nothing(ref):
    payload = PUSH | {"ref": ref, "repository": REPOSITORY}
    assert SENDERS["github"].read({"x-github-event": "push"}, payload) == "ref is neither a branch nor a tag"


def test_the_generic_form():
    payload = {"repository": "https://git.example/a.git", "branch": "main", "commit": COMMIT, "paths": ["x"]}
    (push,) = SENDERS["generic"].read({}, payload)
    assert (push.branch, push.commit, push.paths) == ("main", COMMIT, ("x",))


def test_a_form_carries_its_payload_in_a_field():
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert payload_of(headers, urlencode({"payload": '{"ref": "x"}'}).encode()) == {"ref": "x"}


def test_a_form_of_many_fields_is_refused_before_they_are_read():
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = urlencode([("payload", "{}"), *(("x", "1") for _ in range(16))]).encode()
    with pytest.raises(InputError, match="The delivery is no JSON"):
        payload_of(headers, body)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b"payload={}"])
def test_what_is_no_json_object_is_refused_without_quoting_it(body):
    with pytest.raises(InputError, match="The delivery is no JSON"):
        payload_of({}, body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["ref", "before", "after", "repository", "project", "commits", "type", "event_data", "head_commit", "commit"]
)
TEXTS = st.sampled_from(["refs/heads/main", "refs/tags/v", COMMIT, "0" * 40, "pushImage"])


@given(
    kind=st.sampled_from(sorted(SENDERS)),
    payload=st.dictionaries(KEYS, JSON | TEXTS | st.dictionaries(st.sampled_from(["resources", "url", "id"]), JSON)),
)
def test_whatever_is_written_is_a_push_a_reason_or_one_error(kind, payload):
    headers = EVENTS.get(kind, ({}, None))[0]
    try:
        read = SENDERS[kind].read(headers, payload)
    except InputError:
        return
    assert isinstance(read, str) or all(push.commit or push.digest for push in read)


@given(kind=st.sampled_from(sorted(SENDERS)), body=st.binary(), value=st.text(max_size=80))
def test_nobody_is_let_in_by_chance(kind, body, value):
    assert not is_authentic(kind, SECRET, dict.fromkeys(GENUINE[kind], value), body, NOW)
