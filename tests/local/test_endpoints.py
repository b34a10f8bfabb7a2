from __future__ import annotations

import stat

from local.endpoints import Endpoints
from local.registry import write_secret


def test_no_secret_is_shown_by_chance(tmp_path):
    names = ("registry_password", "secret_key", "airflow_password", "gitea_password")
    secrets = {name: f"the {name}" for name in names}
    where = Endpoints(engine_host="unix:///run/docker.sock", kubeconfig=tmp_path, **secrets)
    assert not any(secret in repr(where) for secret in secrets.values())


def test_a_secret_file_is_ours_alone_from_the_first_moment(tmp_path):
    file = tmp_path / "password"
    file.write_text("old")
    file.chmod(0o644)
    write_secret(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
