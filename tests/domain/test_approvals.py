from __future__ import annotations

from datetime import datetime, timezone

from tke_provider.domain.approvals import OVERRIDE, approval_body, approver_of, overrides
from tke_provider.domain.freezes import Frozen

DIGEST = f"sha256:{'a' * 64}"
IMAGE = {"repository": "demo.example/shop/web", "digest": DIGEST, "commit": "c" * 40}


def check(reason: str = "12 tests passed", image: str = f"demo.example/shop/web@{DIGEST}") -> dict:
    return {"verdict": "passed", "counts": {}, "reason": reason, "image": image}


def test_the_body_shows_commit_digest_results_and_diff():
    diff = {"counts": {}, "objects": [], "markdown": "1 changed."}
    body = approval_body(commit="c" * 40, images={"web": IMAGE}, checks={"unit tests": check()}, diffs={"web": diff})
    assert f"Commit `{'c' * 40}`" in body
    assert f"| web | `demo.example/shop/web@{DIGEST}` | `{'c' * 12}` |" in body
    assert "| unit tests | passed | 12 tests passed |" in body
    assert "### web: what would change\n\n1 changed." in body


def test_diffs_too_long_to_read_are_shown_object_by_object():
    objects = [{"object": "ConfigMap shop/big", "change": "changed", "added": 9000, "removed": 1}]
    diff = {"counts": {}, "objects": objects, "markdown": "x" * 30_000}
    body = approval_body(diffs={"web": diff, "stock": diff})
    assert len(body) < 1000
    assert "| ConfigMap shop/big | changed | +9000 -1 |" in body


def test_an_image_without_commit_is_said_to_have_none():
    assert "| web | `demo.example/shop/web@" + DIGEST + "` | unknown |" in approval_body(
        images={"web": f"demo.example/shop/web@{DIGEST}"}
    )


def test_a_check_of_another_digest_is_pointed_out():
    other = f"demo.example/shop/web@sha256:{'b' * 64}"
    assert "⚠️ of another image" in approval_body(images={"web": IMAGE}, checks={"tests": check(image=other)})


def test_a_check_of_the_same_digest_in_another_repository_is_not():
    promoted = f"demo.example/production/web@{DIGEST}"
    assert "⚠️" not in approval_body(images={"web": IMAGE}, checks={"tests": check(image=promoted)})


def test_a_reason_with_bars_and_lines_stays_in_its_cell():
    row = r"| tests | passed | a \| b c |"
    assert row in approval_body(checks={"tests": check("a | b\nc")})


def test_a_freeze_is_the_first_thing_to_see():
    frozen = Frozen("stocktaking", datetime(2027, 1, 1, tzinfo=timezone.utc))
    body = approval_body(frozen=frozen, note="more")
    assert body.startswith("⚠️ Now releases are frozen (stocktaking) until 2027-01-01 00:00 UTC.")
    assert body.endswith("more")


def test_only_an_approval_by_somebody_with_a_reason_overrides_a_freeze():
    given = {"params_input": {OVERRIDE: " it burns "}, "approver": "bob", "responded_at": ""}
    assert overrides({"chosen_options": ["Approve"], **given}) == "it burns"
    assert overrides({"chosen_options": ["Reject"], **given}) == ""
    assert overrides({"chosen_options": ["Approve"], **given, "approver": ""}) == ""


def test_who_answered_is_named_as_people_know_them():
    assert approver_of({"id": "7", "name": "bob"}) == "bob"
    assert approver_of({"id": "7", "name": ""}) == "7"
    assert approver_of(None) == ""
