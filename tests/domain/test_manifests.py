import textwrap

import pytest

from tke_provider.domain.images import Image
from tke_provider.domain.manifests import (
    ObjectRef,
    annotation,
    containers,
    images_of,
    in_namespace,
    parse,
    pin,
    stamp,
    workloads,
)
from tke_provider.domain.operations import COMMIT, OPERATION
from tke_provider.exceptions import ManifestError

DIGEST = "sha256:" + "a" * 64
WEB = Image("demo.example/shop/web", DIGEST, "c" * 40)


def deployment(name="web", **images):
    listed = [{"name": container, "image": image} for container, image in (images or {"web": "web"}).items()]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": listed}}},
    }


SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}


def refused(manifests) -> str:
    with pytest.raises(ManifestError) as caught:
        parse(textwrap.dedent(manifests) if isinstance(manifests, str) else manifests)
    return str(caught.value)


# --- parse ---------------------------------------------------------------------------------------------------------


def test_every_document_is_read_in_order():
    text = """\
        # a comment alone is no document
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: a}
        ---
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: b}
        """
    assert [str(ObjectRef.of(each)) for each in parse(textwrap.dedent(text))] == ["ConfigMap a", "ConfigMap b"]


def test_a_list_counts_as_its_items():
    assert len(parse([{"apiVersion": "v1", "kind": "List", "items": [SERVICE, deployment()]}])) == 2


def test_what_is_parsed_does_not_change_with_what_was_given():
    given = [deployment()]
    parse(given)[0]["metadata"]["name"] = "other"
    assert given == [deployment()]


def test_words_that_look_like_dates_stay_words():
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {since: 2024-01-01}}"
    assert parse(text)[0]["data"] == {"since": "2024-01-01"}


def test_text_that_is_not_yaml_is_refused_with_document_and_line():
    said = refused(
        """\
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: a}
        ---
        apiVersion: v1
        kind: [ConfigMap
        metadata: {name: b}
        """
    )
    assert said.startswith("Document 2 of the manifests, line 7, is not YAML: ")


def test_a_document_without_kind_is_refused_with_document_and_line():
    said = refused("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n\nmetadata: {name: b}\napiVersion: v1\n")
    assert said == "Document 2 of the manifests (line 6) has no kind; add its kind."


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        ("just words", "Document 1 of the manifests (line 1) is no object"),
        ("- a\n- b\n", "Document 1 of the manifests (line 1) is no object"),
        ("{kind: A, metadata: {name: a}}", "has no apiVersion"),
        ("{apiVersion: v1, kind: A, metadata: {}}", "has no name"),
        ("{apiVersion: v1, kind: A, metadata: {name: 7}}", "has no name"),
        ("{apiVersion: v1, kind: A}", "has no name"),
        ("{apiVersion: v1, kind: A, metadata: {name: ../a}}", "named '../a', which no cluster takes"),
        ("", "The manifests are empty"),
        ("# nothing\n---\n", "The manifests are empty"),
        ("a: &x [*x]", "Document 1 of the manifests, line 1, contains itself"),
        ("a: !!python/object:os.system {}", "is not YAML"),
        ("a: \x00", "is not YAML"),
    ],
)
def test_what_is_no_object_is_refused(manifest, problem):
    assert problem in refused(manifest)


def test_a_key_said_twice_is_refused_with_its_line():
    said = refused("apiVersion: v1\nkind: A\nmetadata:\n  name: a\n  name: b\n")
    assert said.startswith("Document 1 of the manifests, line 5, says 'name' a second time")


def test_one_object_described_twice_is_refused():
    assert "describes Service web a second time" in refused([SERVICE, SERVICE])


@pytest.mark.parametrize("listed", [{"name": "web"}, [{"image": "web"}], ["web"]])
def test_containers_without_names_are_refused(listed):
    manifest = deployment()
    manifest["spec"]["template"]["spec"]["containers"] = listed
    assert "has containers without names" in refused([manifest])


# --- where ---------------------------------------------------------------------------------------------------------


def test_a_manifest_without_namespace_goes_where_the_task_deploys():
    manifest = deployment()
    in_namespace(manifest, "test")
    assert str(ObjectRef.of(manifest)) == "Deployment test/web"


def test_a_manifest_of_another_namespace_is_refused():
    manifest = deployment()
    manifest["metadata"]["namespace"] = "production"
    with pytest.raises(ManifestError, match="Deployment production/web names another namespace than test"):
        in_namespace(manifest, "test")


# --- pin -----------------------------------------------------------------------------------------------------------


def test_the_digest_reaches_the_container_and_nothing_else():
    manifests = [deployment(web="web", log="logger:1"), SERVICE]
    pinned = pin(manifests, {"web": WEB})
    assert images_of(pinned) == {"web/web": str(WEB), "web/log": "logger:1"}
    assert images_of(manifests)["web/web"] == "web"


def test_an_init_container_is_pinned_too():
    manifest = deployment()
    manifest["spec"]["template"]["spec"]["initContainers"] = [{"name": "migrate"}]
    assert images_of(pin([manifest], {"web": WEB, "migrate": WEB}))["web/migrate"] == str(WEB)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("StatefulSet", lambda template: {"template": template}),
        ("DaemonSet", lambda template: {"template": template}),
        ("Job", lambda template: {"template": template}),
        ("CronJob", lambda template: {"jobTemplate": {"spec": {"template": template}}}),
        ("Pod", lambda template: template["spec"]),
    ],
)
def test_every_kind_with_pods_is_pinned(kind, spec):
    template = {"spec": {"containers": [{"name": "web"}]}}
    manifest = {"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec(template)}
    assert [each["image"] for each in containers(pin([manifest], {"web": WEB})[0])] == [str(WEB)]


def test_an_image_for_a_container_that_does_not_exist_is_refused():
    with pytest.raises(ManifestError, match=r"no container wbe .*\(containers: web/web\)"):
        pin([deployment()], {"wbe": WEB})


def test_two_workloads_with_one_container_name_are_told_apart():
    api = Image("demo.example/shop/api", DIGEST)
    pinned = pin([deployment("web", app="x"), deployment("api", app="x")], {"web/app": WEB, "api/app": api})
    assert images_of(pinned) == {"web/app": str(WEB), "api/app": str(api)}


@pytest.mark.parametrize("image", ["demo.example/shop/web:latest", "demo.example/shop/web"])
def test_a_second_container_left_on_a_tag_of_the_built_repository_is_refused(image):
    with pytest.raises(ManifestError, match="Container worker of Deployment web would stay on"):
        pin([deployment(web="web", worker=image)], {"web": WEB})


def test_such_a_tag_may_be_left_when_asked_for():
    manifest = deployment(web="web", worker="demo.example/shop/web:latest")
    assert images_of(pin([manifest], {"web": WEB}, allow_tags=True))["web/worker"] == "demo.example/shop/web:latest"


@pytest.mark.parametrize("image", ["other.example:5000/log:1", f"demo.example/shop/web@{DIGEST}"])
def test_other_repositories_and_digests_are_left_alone(image):
    assert images_of(pin([deployment(web="web", log=image)], {"web": WEB}))["web/log"] == image


# --- stamp ---------------------------------------------------------------------------------------------------------


def test_operation_and_commit_are_on_every_object_and_on_no_pod():
    manifests = [deployment(), dict(SERVICE, metadata={"name": "web"})]
    stamp(manifests, "op-1", "c" * 40)
    for each in manifests:
        assert (annotation(each, OPERATION), annotation(each, COMMIT)) == ("op-1", "c" * 40)
    assert "metadata" not in manifests[0]["spec"]["template"]


def test_an_unknown_commit_leaves_no_empty_annotation():
    manifests = [deployment()]
    stamp(manifests, "op-1", "")
    assert COMMIT not in manifests[0]["metadata"]["annotations"]


def test_only_what_rolls_out_is_a_workload():
    job = dict(deployment("job"), kind="Job", apiVersion="batch/v1")
    assert [each["kind"] for each in workloads([SERVICE, deployment(), job])] == ["Deployment"]


@pytest.mark.parametrize("field", ["annotations", "labels"])
def test_what_is_left_empty_is_nothing_and_a_list_is_refused(field):
    (empty,) = parse([{**SERVICE, "metadata": {"name": "web", field: None}}])
    stamp([empty], "op", "c")
    assert annotation(empty, OPERATION) == "op"
    assert f"has {field} that are no mapping" in refused([{**SERVICE, "metadata": {"name": "web", field: ["a"]}}])


def test_metadata_that_is_a_list_is_refused():
    assert "has metadata that is no mapping" in refused([{**SERVICE, "metadata": ["web"]}])


def test_an_annotation_of_an_object_with_none_is_empty():
    assert annotation({"metadata": {"annotations": None}}, OPERATION) == ""
