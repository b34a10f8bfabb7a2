"""What BuildKit alone can do, and what its pod leaves behind."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from types import SimpleNamespace

import httpx
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_builders import PASSWORD, git
from tests.live_cluster import until
from tke_provider.clients.registry import ImageRegistry
from tke_provider.domain.images import Image
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.runs import Run
from tke_provider.exceptions import UnavailableError
from tke_provider.operators.images import TkeBuildImageOperator
from tke_provider.operators.promotions import TcrPromoteImageOperator

pytestmark = pytest.mark.stack

CONTEXT = {"ti": SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=0)}
SECRET = "s3cret-of-the-npm-registry"
SLOW = "RUN echo begun; sleep 600"
SPDX = "https://spdx.dev/Document"
SCANNER = f"""
cd $BUILDKIT_SCAN_SOURCE
for each in *; do
  files="$files${{files:+, }}{{\\"SPDXID\\": \\"SPDXRef-File-$each\\", \\"fileName\\": \\"$each\\"}}"
done
cat > $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json <<END
{{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "{SPDX}",
 "predicate": {{"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "sbom", "files": [$files]}}}}
END
"""
"""What any scanner does, as far as BuildKit is concerned: its SBOM scanning protocol."""
WORKER = """
import json, sys
from types import SimpleNamespace
from tke_provider.operators.images import TkeBuildImageOperator
ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=0)
TkeBuildImageOperator(task_id="build", **json.loads(sys.argv[1])).execute({"ti": ti})
"""
"""The same task as :data:`CONTEXT` is of, in a process that can be killed."""


@pytest.fixture
def given(git_repository, build_pods, pushed_base, repository, registry, monkeypatch):
    """The arguments of a task that builds the lines of a Dockerfile, with more of them or other ones."""
    from local.endpoints import BUILDKIT_IMAGE

    conn_id = registry.connect(monkeypatch, "registry")

    def arguments(*lines: str, start: str = pushed_base, **more: object) -> dict[str, object]:
        dockerfile = "\n".join((f"FROM {start}", *lines, ""))
        commit = git_repository.commit({"Dockerfile": dockerfile, "content": repository})
        known = {"repository": repository, "git_url": git_repository.url, "commit": commit, "builder": "buildkit"}
        known |= {"buildkit_image": BUILDKIT_IMAGE, "namespace": build_pods[1], "docker_conn_id": conn_id}
        return {**known, **more}

    return arguments


@pytest.fixture
def build(given):
    """Such a task."""
    return lambda *lines, **more: TkeBuildImageOperator(task_id="build", **given(*lines, **more))


@pytest.fixture
def left(build_pods):
    """What is left of builds: Jobs, Secrets and pods."""
    cluster, namespace = build_pods

    async def read() -> list[str]:
        kinds = (("batch/v1", "Job"), ("v1", "Secret"), ("v1", "Pod"))
        return [each["kind"] for kind in kinds for each in await cluster.list(*kind, namespace)]

    return read


@pytest.fixture
def fetched(registry):
    """Fetch a manifest or a blob of a repository."""

    def get(image: Image, what: str) -> httpx.Response:
        accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
        url = f"http://{registry.host}/v2/{image.path}/{what}"
        answer = httpx.get(url, auth=(registry.username, registry.password), headers={"Accept": accept})
        return answer.raise_for_status()

    return get


async def run(task: TkeBuildImageOperator) -> Image:
    return Image.parse(await asyncio.to_thread(task.execute, CONTEXT))


async def test_a_secret_reaches_the_step_and_nothing_else(build, build_pods, fetched, left, monkeypatch, capsys):
    monkeypatch.setenv("AIRFLOW_CONN_NPM", json.dumps({"conn_type": "generic", "password": SECRET}))
    step = "RUN --mount=type=secret,id=npmrc head -c 6 /run/secrets/npmrc > /proof; echo begun; sleep 2"
    cluster, namespace = build_pods
    running = asyncio.ensure_future(run(build("COPY content /content", step, secrets={"npmrc": "npm"})))

    async def specified() -> str:
        listed = [*await cluster.list("batch/v1", "Job", namespace), *await cluster.list("v1", "Pod", namespace)]
        return json.dumps(listed) if len(listed) == 2 else ""

    specification = await until(specified)
    image = await running
    manifest = fetched(image, f"manifests/{image.digest}").json()
    layers = [fetched(image, f"blobs/{layer['digest']}").content for layer in manifest["layers"]]
    unpacked = [gzip.decompress(layer) for layer in layers]
    configuration = fetched(image, f"blobs/{manifest['config']['digest']}").text
    assert SECRET[:6].encode() in unpacked[-1]
    assert all(SECRET.encode() not in layer for layer in unpacked)
    assert SECRET not in configuration + specification + capsys.readouterr().out
    await until(lambda: _none(left))


async def test_two_daemons_that_share_nothing_make_the_same_digest(build, second_daemon, registry):
    lines = ("COPY . /web", "RUN echo made > /made && mkdir /later")
    task = build(*lines)
    first = await run(task)
    again = build(*lines, repository=f"{task.repository}/again", buildkit_conn_id=second_daemon)
    assert again.commit == task.commit
    assert (await run(again)).digest == first.digest


async def test_several_platforms_make_one_index_and_are_promoted_whole(build, fetched, repository):
    image = await run(build("COPY content /content", start="scratch", platform="linux/amd64, linux/arm64"))
    promote = TcrPromoteImageOperator(
        task_id="promote", image=image, to_repository=f"{repository}/production", docker_conn_id="registry"
    )
    promoted = Image.parse(await asyncio.to_thread(promote.execute, CONTEXT))
    index = fetched(promoted, f"manifests/{image.digest}").json()
    assert [each["platform"]["architecture"] for each in index["manifests"]] == ["amd64", "arm64"]


async def test_a_provenance_names_the_commit_and_is_found_again_with_its_image(build, fetched, git_repository):
    task = build("COPY content /content", attestations={"provenance": "mode=max"})
    image = await run(task)
    index = fetched(image, f"manifests/{image.digest}").json()
    (attestation,) = [each for each in index["manifests"] if each["platform"]["architecture"] == "unknown"]
    layers = fetched(image, f"manifests/{attestation['digest']}").json()["layers"]
    statement = fetched(image, f"blobs/{layers[0]['digest']}").json()
    assert "slsa.dev/provenance" in statement["predicateType"]
    assert task.commit in json.dumps(statement["predicate"])
    assert git_repository.url in json.dumps(statement["predicate"])
    assert await run(task) == image


async def test_a_scanners_list_of_what_is_in_the_image_lies_beside_it(build, fetched, git_repository, repository):
    git_repository.commit({"scan.sh": SCANNER})
    lines = ("COPY scan.sh /scan.sh", 'ENTRYPOINT ["sh", "/scan.sh"]')
    scanner = await run(build(*lines, repository=f"{repository}/scanner"))
    image = await run(build("COPY content /content", attestations={"sbom": f"generator={scanner}"}))
    index = fetched(image, f"manifests/{image.digest}").json()
    (attestation,) = [each for each in index["manifests"] if each["platform"]["architecture"] == "unknown"]
    assert attestation["annotations"]["vnd.docker.reference.digest"] == index["manifests"][0]["digest"]
    (layer,) = fetched(image, f"manifests/{attestation['digest']}").json()["layers"]
    statement = fetched(image, f"blobs/{layer['digest']}").json()
    assert statement["predicateType"] == layer["annotations"]["in-toto.io/predicate-type"] == SPDX
    assert "content" in [each["fileName"] for each in statement["predicate"]["files"]]


async def test_an_image_with_its_provenance_beside_it_runs_in_the_engine(build, engine, repository):
    image = await run(build("COPY content /content", attestations={"provenance": "mode=min"}))
    said: list[str] = []
    ended = await engine.run(image, Run(operation=f"tests.{repository}", command=("cat", "/content")), said.append)
    assert (ended.exit_code, said) == (0, [repository])


async def test_with_a_provenance_the_image_itself_is_still_the_same_on_two_daemons(build, second_daemon, fetched):
    given = {"attestations": {"provenance": "mode=min"}}
    first = await run(build("COPY content /content", **given))
    elsewhere = {"repository": f"{first.repository}/again", "buildkit_conn_id": second_daemon}
    second = await run(build("COPY content /content", **given, **elsewhere))
    inner = [fetched(image, f"manifests/{image.digest}").json()["manifests"][0] for image in (first, second)]
    assert inner[0] == inner[1]
    assert first.digest != second.digest


async def test_a_cache_in_the_registry_spares_another_daemon_the_steps(build, second_daemon, capsys):
    lines = ("COPY content /content", "RUN echo did-$((40 + 2))")
    await run(build(*lines, cache_tag="cache"))
    assert "did-42" in capsys.readouterr().out
    await run(build(*lines, "LABEL more=1", cache_tag="cache", buildkit_conn_id=second_daemon))
    said = capsys.readouterr().out
    assert "importing cache manifest" in said
    assert "did-42" not in said


async def test_a_failing_command_is_named_with_its_line_and_its_last_words(build):
    with pytest.raises(AirflowFailException, match=r"line 3: RUN echo oh dear; false: .*exit code: 1 \(oh dear\)"):
        await run(build("COPY content /content", "RUN echo oh dear; false"))


async def test_a_killed_task_leaves_neither_job_nor_secret_nor_pod(build, left, capsys):
    task = build(SLOW)
    running = asyncio.ensure_future(run(task))
    await until(lambda: _said(capsys, "begun"))
    task.on_kill()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: _none(left))


async def test_a_retry_follows_the_build_that_a_killed_worker_left_from_its_first_line(given, build_pods, left, capsys):
    cluster, namespace = build_pods
    arguments = given("COPY content /content", "RUN echo begun; sleep 8")
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, json.dumps(arguments))
    try:
        await until(lambda: _runs(cluster, namespace))
    finally:
        worker.kill()
        await worker.wait()
    (before,) = await cluster.list("batch/v1", "Job", namespace)
    retried = asyncio.ensure_future(run(TkeBuildImageOperator(task_id="build", **arguments)))
    jobs: set[str] = set()

    async def begun() -> bool:
        jobs.update(each["metadata"]["uid"] for each in await cluster.list("batch/v1", "Job", namespace))
        return await _said(capsys, "begun")

    await until(begun)
    assert (await retried).commit == arguments["commit"]
    assert jobs == {before["metadata"]["uid"]}
    await until(lambda: _none(left))


async def test_a_pod_that_is_drained_away_is_worth_a_retry_which_builds_anew(build, build_pods, capsys):
    cluster, namespace = build_pods
    task = build("COPY content /content", "RUN echo begun; sleep 8")
    running = asyncio.ensure_future(run(task))
    await until(lambda: _said(capsys, "begun"))
    (pod,) = await cluster.list("v1", "Pod", namespace)
    await cluster.delete(ObjectRef.of(pod))
    with pytest.raises(UnavailableError, match=r"was stopped before|is gone before"):
        await running
    assert (await run(task)).commit == task.commit


async def test_a_build_that_takes_too_long_is_stopped(build, left):
    with pytest.raises(AirflowFailException, match="was stopped after 4 s"):
        await run(build(SLOW, timeout=4))
    await until(lambda: _none(left))


async def test_a_private_repository_is_fetched_with_the_login_of_its_connection(
    build, git_host, git_repository, monkeypatch, capsys
):
    host, handler = git_host(login=True)
    url = f"http://{host}/shop.git"
    with pytest.raises(AirflowFailException, match="refuses access"):
        await run(build("COPY content /content", git_url=url))
    connection = {"conn_type": "generic", "host": f"http://{host}", "login": "test", "password": PASSWORD}
    monkeypatch.setenv("AIRFLOW_CONN_GIT", json.dumps(connection))
    image = await run(build("COPY content /content", git_url=url, git_conn_id="git"))
    assert image.commit == git(git_repository.folder, "rev-parse", "HEAD")
    assert PASSWORD not in capsys.readouterr().out
    assert any(each.startswith("basic ") for each in handler.seen)  # the daemon's way to write it


@pytest.mark.parametrize(
    ("stranger", "error", "message"),
    [
        ("daemon", AirflowFailException, "do not accept one another's certificates"),
        # It closes the connection, and whether its reason comes before that is chance.
        ("task", (AirflowFailException, UnavailableError), "do not accept one another's|that it knows our certificate"),
    ],
)
async def test_a_daemon_and_a_task_of_different_authorities_refuse_one_another(
    build, monkeypatch, stranger, error, message
):
    from local.endpoints import BUILDKIT_ADDRESS, BUILDKIT_FOLDER
    from local.kubernetes.certificates import Authority

    other = Authority("somebody else")
    pair = other.issue("buildctl")
    extra = {"ca_certificate": other.pair.certificate, "client_certificate": pair.certificate, "private_key": pair.key}
    if stranger == "task":
        extra["ca_certificate"] = (BUILDKIT_FOLDER / "ca.pem").read_text()
    host, _, port = BUILDKIT_ADDRESS.removeprefix("tcp://").partition(":")
    connection = {"conn_type": "generic", "host": host, "port": int(port), "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(connection))
    with pytest.raises(error, match=message):
        await run(build("COPY content /content", buildkit_conn_id="other"))


async def test_a_pod_that_cannot_have_its_image_ends_the_task_and_says_so(build, registry, left):
    with pytest.raises(AirflowFailException, match=r"has no image: .*not found"):
        await run(build(buildkit_image=f"{registry.host}/tests/nothing:1"))
    await until(lambda: _none(left))


async def test_arguments_reach_the_dockerfile_as_they_are(build, registry):
    value = "a=b, \"c\" $HOME 'd'\n--secret=e"
    image = await run(build("ARG A", "LABEL a=$A", start="scratch", build_args={"A": value}))
    async with ImageRegistry(registry.host, registry.login()) as speaker:
        assert (await speaker.labels(image.path, image.digest))["a"] == value


async def _none(left) -> bool:
    return not await left()


async def _said(capsys, words: str) -> bool:
    with capsys.disabled():
        return any(words in line and "RUN" not in line for line in capsys.readouterr().out.splitlines())


async def _runs(cluster, namespace: str) -> bool:
    pods = await cluster.list("v1", "Pod", namespace)
    return any(pod["status"].get("phase") == "Running" for pod in pods)
