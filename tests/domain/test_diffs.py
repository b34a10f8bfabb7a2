from __future__ import annotations

import copy

import pytest

from tke_provider.domain.diffs import (
    Change,
    counts_in_words,
    deletion,
    difference,
    in_words,
    markdown,
    strangers,
    summary,
)

LIVE = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "uid": "1",
        "resourceVersion": "7",
        "generation": 3,
        "annotations": {"tke.airflow/operation": "a", "deployment.kubernetes.io/revision": "3"},
        "managedFields": [{"manager": "x"}],
    },
    "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "web@sha256:a"}]}}},
    "status": {"replicas": 2},
}


def changed(**metadata) -> dict:
    manifest = copy.deepcopy(LIVE)
    manifest["metadata"].update(metadata)
    return manifest


def secret(**data) -> dict:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "shop"}, "data": data}


def test_what_the_cluster_and_every_run_write_is_no_difference():
    wanted = changed(
        resourceVersion="9", generation=4, managedFields=[], annotations={"tke.airflow/operation": "b"}, uid="1"
    )
    del wanted["status"]
    assert difference(LIVE, wanted).change is Change.UNCHANGED


def test_a_changed_field_shows_with_what_it_was():
    wanted = copy.deepcopy(LIVE)
    wanted["spec"]["replicas"] = 5
    seen = difference(LIVE, wanted)
    assert seen.change is Change.CHANGED
    assert "-  replicas: 2\n+  replicas: 5\n" in seen.text
    assert (seen.lines("+"), seen.lines("-")) == (1, 1)


def test_one_changed_line_of_a_file_in_a_config_map_is_one_line():
    before, after = (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"app.ini": f"a=1\nb={b}\nc=3\n"}}
        for b in (2, 5)
    )
    assert "     a=1\n-    b=2\n+    b=5\n     c=3\n" in difference(before, after).text


def test_what_does_not_exist_is_created_and_shown_whole():
    seen = difference(None, LIVE)
    assert seen.change is Change.CREATED
    assert "+    - image: web@sha256:a\n".replace("    -", "      -") in seen.text
    assert "managedFields" not in seen.text


def test_what_is_deleted_is_shown_as_removed():
    seen = deletion(LIVE)
    assert seen.change is Change.DELETED
    assert seen.lines("+") == 0 < seen.lines("-")


def test_no_value_of_a_secret_shows_and_that_one_changed_does():
    seen = difference(secret(a="c2FtZQ==", b="b2xk"), secret(a="c2FtZQ==", b="bmV3", c="bW9yZQ=="))
    assert not any(value in seen.text for value in ("c2FtZQ==", "b2xk", "bmV3", "bW9yZQ=="))
    assert "-  b: (hidden, as it was)\n+  b: (hidden, changed)\n+  c: (hidden)\n" in seen.text
    assert "   a: (hidden)\n" in seen.text


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "DB_PASS", "PASSPHRASE", "api_key", "api-key", "ACCESS_TOKEN", "clientSecret"]
)
def test_what_is_named_like_a_secret_is_hidden_in_variables_and_config_maps(name):
    wanted = copy.deepcopy(LIVE)
    wanted["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": name, "value": "hunter2"}]
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {name: "hunter2", "a": "b"}}
    shown = summary([difference(LIVE, wanted), difference(None, config)])
    assert "hunter2" not in str(shown)
    assert name in shown["markdown"]


def test_a_login_within_a_url_is_hidden_and_the_rest_of_the_url_shows():
    wanted = copy.deepcopy(LIVE)
    container = wanted["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "DATABASE_URL", "value": "postgres://shop:hunter2@db:5432/shop"}]
    container["args"] = ["--queue=amqp://:hunter2@queue", "--peer=http://peer:80/@x"]
    text = difference(LIVE, wanted).text
    assert "hunter2" not in text
    assert "postgres://shop:(hidden)@db:5432/shop" in text
    assert "http://peer:80/@x" in text


def test_hiding_does_not_touch_what_is_applied():
    wanted = secret(a="bmV3")
    difference(secret(a="b2xk"), wanted)
    assert wanted["data"] == {"a": "bmV3"}


def test_the_summary_counts_all_and_lists_what_changes():
    seen = summary([difference(LIVE, LIVE), difference(None, secret(a="eA=="))])
    assert seen["counts"] == {"created": 1, "changed": 0, "deleted": 0, "unchanged": 1}
    assert [each["object"] for each in seen["objects"]] == ["Secret shop/key"]
    assert seen["markdown"].startswith("1 created, 1 unchanged.")


def test_a_diff_too_long_for_a_page_is_named_instead():
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"a": "x\n" * 30_000}}
    shown = markdown([difference(None, config), difference(None, secret(a="eA=="))])
    assert len(shown) < 1000
    assert "**ConfigMap big** created (too long to show; see the task's log)" in shown


def test_what_does_not_fit_into_a_record_is_said_to_be_in_it_whole():
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"a": "x\n" * 30_000}}
    kept = summary([difference(None, config)], "the record holds both versions whole")
    assert "**ConfigMap big** created (too long to show; the record holds both versions whole)" in kept["markdown"]
    assert (kept["counts"]["created"], kept["objects"][0]["added"]) == (1, 30_006)


def test_the_counts_are_said_in_words():
    assert counts_in_words(summary([difference(LIVE, LIVE), difference(None, secret())])["counts"]) == (
        "1 created, 1 unchanged"
    )


def test_a_job_made_anew_differs_by_what_its_author_wrote_alone():
    def job(uid: str, image: str) -> dict:
        labels = {"controller-uid": uid, "batch.kubernetes.io/controller-uid": uid, "app": "a"}
        pods = {"metadata": {"labels": dict(labels)}, "spec": {"containers": [{"name": "a", "image": image}]}}
        spec = {"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}, "template": pods}
        metadata = {"name": "a", "namespace": "shop", "labels": dict(labels)}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}

    assert difference(job("1", "a"), job("2", "a")).change is Change.UNCHANGED
    seen = difference(job("1", "a"), job("2", "b"))
    assert (seen.lines("+"), seen.lines("-")) == (1, 1)


def test_text_in_an_object_cannot_end_its_diff():
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "x\n````\n**bold**\n"}}
    assert "\n`````diff\n" in markdown([difference(None, config)])


def test_no_objects_are_said_to_be_none():
    assert in_words([]) == "no objects"


def entry(manager, time, operation="Update", subresource="", **fields):
    owned = {f"f:{key}": value for key, value in fields.items()}
    return {
        "manager": manager, "time": time, "operation": operation, "subresource": subresource, "fieldsV1": owned,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (entry("kubectl-edit", "2026-01-02", spec={"f:replicas": {}}), ["kubectl-edit wrote .spec.replicas"]),
        (entry("kubectl-edit", "2025-12-31", spec={"f:replicas": {}}), []),
        (entry("kube-controller-manager", "2026-01-02", subresource="status", status={"f:replicas": {}}), []),
        (entry("hpa", "2026-01-02", subresource="scale", spec={"f:replicas": {}}), []),
        (
            entry(
                "kube-controller-manager", "2026-01-02",
                metadata={"f:annotations": {".": {}, "f:deployment.kubernetes.io/revision": {}}},
            ),
            [],
        ),
    ],
    ids=["an edit since", "an edit before", "a status", "an autoscaler", "a controller's annotation"],
)  # fmt: skip
def test_only_who_wrote_since_we_applied_is_a_stranger(other, said):
    applied = entry("us", "2026-01-01", "Apply", spec={"f:replicas": {}})
    live = changed(managedFields=[applied, other])
    assert [each.partition(" at ")[0] for each in strangers(live, "us")] == said
