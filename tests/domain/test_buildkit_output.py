"""What buildctl v0.34 prints, word for word."""

from __future__ import annotations

import pytest

from tke_provider.domain.buildkit_daemons import SharedDaemon
from tke_provider.domain.buildkit_output import digest_of, failure
from tke_provider.domain.images import Build
from tke_provider.exceptions import (
    BuildError,
    CredentialError,
    ForbiddenError,
    InconclusiveError,
    InputError,
    UnavailableError,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BUILD = Build("demo.example/test/web", COMMIT, "https://git.example/web.git", subdirectory="web")
DAEMON = SharedDaemon("tcp://buildkitd.build:1234", "ca", "certificate", "key")

RUN = """\
#6 [stage-0 3/3] RUN echo one; false
#6 0.104 one
#6 ERROR: process "/bin/sh -c echo one; false" did not complete successfully: exit code: 1
------
 > [stage-0 3/3] RUN echo one; false:
0.104 one
------
Dockerfile:3
--------------------
   1 |     FROM demo.example/base:1
   2 |     COPY . /x
   3 | >>> RUN echo one; false
   4 |     \

--------------------
error: failed to solve: process "/bin/sh -c echo one; false" did not complete successfully: exit code: 1"""

FROM = """\
Dockerfile:2
--------------------
   1 |     ARG BASE
   2 | >>> FROM ${BASE}
   3 |     COPY missing /
--------------------
error: failed to solve: demo.example/base:1: failed to resolve source metadata for demo.example/base:1: \
demo.example/base:1: not found"""

SEVERAL_LINES = """\
Dockerfile:2
--------------------
   1 |     FROM scratch
   2 | >>> RUN one && \\
   3 | >>>     two
--------------------
error: failed to solve: process "/bin/sh -c one &&     two" did not complete successfully: exit code: 127"""


def read(text: str):
    return failure(BUILD, DAEMON, text.splitlines())


def test_a_command_that_fails_is_named_by_its_line_with_its_last_words():
    error = read(RUN)
    assert isinstance(error, BuildError)
    assert "does not build at 0123456789ab; line 3: RUN echo one; false: " in str(error)
    assert "exit code: 1 (one)" in str(error)


def test_an_instruction_of_several_lines_is_named_whole():
    assert "line 2: RUN one && \\ two" in str(read(SEVERAL_LINES))


def test_a_base_image_that_is_not_there_is_named():
    error = read(FROM)
    assert isinstance(error, BuildError)
    assert "line 2: FROM ${BASE}: its base image cannot be pulled" in str(error)
    assert "demo.example/base:1: not found" in str(error)


NO_DAEMON = (
    'listing workers for Build: failed to list workers: Unavailable: connection error: desc = "transport: Error while'
    ' dialing: dial tcp 10.0.0.1:1234: connect: connection refused"'
)
BAD_CERTIFICATE = (
    'listing workers for Build: failed to list workers: Unavailable: connection error: desc = "transport:'
    ' authentication handshake failed: tls: failed to verify certificate: x509: unknown authority"'
)
NO_GIT_HOST = """\
failed to solve: failed to read dockerfile: failed to fetch remote https://git.example/web.git: git stderr:
fatal: unable to access 'https://git.example/web.git/': Failed to connect to git.example port 443
: exit status 128"""


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("failed to solve: failed to read dockerfile: open No: no such file or directory", InputError, "has no 'Dock"),
        (
            'failed to solve: failed to read dockerfile: invalid subdir web: failed to lstat "web"',
            InputError,
            "The source has no folder 'web'",
        ),
        (
            "failed to solve: dockerfile parse error on line 2: unknown instruction: FROBNICATE",
            BuildError,
            "unknown instruction: FROBNICATE",
        ),
        (
            "failed to solve: failed to push demo.example/test/web:1: unexpected status: 403 Forbidden: denied",
            ForbiddenError,
            "was built and cannot be pushed",
        ),
        (
            "failed to solve: failed to push demo.example/test/web:1: failed to authorize: 401 Unauthorized",
            CredentialError,
            "was built and cannot be pushed",
        ),
        (
            NO_DAEMON,
            UnavailableError,
            "BuildKit does not answer at tcp://buildkitd.build:1234",
        ),
        (
            BAD_CERTIFICATE,
            CredentialError,
            "do not accept one another's certificates",
        ),
        (
            "failed to receive status: rpc error: code = Unavailable desc = error reading from server: EOF",
            UnavailableError,
            "BuildKit does not answer",
        ),
        (
            NO_GIT_HOST,
            UnavailableError,
            "Failed to connect to git.example port 443",
        ),
        ("failed to solve: something new", BuildError, "something new"),
    ],
)
def test_who_must_act_is_told_by_what_failed(said, kind, words):
    error = read(f"error: {said}")
    assert type(error) is kind
    assert words in str(error)


def test_a_pod_that_ended_without_a_word_of_buildctl_says_what_it_said():
    assert "OOMKilled" in str(failure(BUILD, DAEMON, ["OOMKilled"]))


def test_the_digest_is_read_even_from_metadata_that_was_cut_off():
    digest = f"sha256:{'a' * 64}"
    assert digest_of(f'{{"containerimage.digest": "{digest}", "image.na') == digest
    with pytest.raises(InconclusiveError, match="without naming the image's digest"):
        digest_of("{}")
