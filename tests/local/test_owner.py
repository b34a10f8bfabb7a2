from __future__ import annotations

import threading
from pathlib import Path

import pytest

from local import StackError, owner
from local.part import Settings

CLUSTER = Path("/home/somebody/.kube/config")


@pytest.fixture
def owner_file(tmp_path):
    return tmp_path / "owner.json"


@pytest.fixture
def live_checkout(tmp_path, make_daemon):
    """A checkout one of whose parts has a live process."""
    checkout = tmp_path / "first"
    part = checkout / ".local" / "part"
    part.mkdir(parents=True)
    daemon = make_daemon()
    daemon.start()
    daemon.pid_file.rename(part / "part.pid")
    yield checkout
    (part / "part.pid").rename(daemon.pid_file)


def test_the_first_checkout_becomes_the_owner(owner_file, tmp_path):
    assert owner.read(owner_file) is None
    owner.claim(Settings(CLUSTER, "postgres"), tmp_path, owner_file)
    assert owner.read(owner_file) == owner.Owner(tmp_path, Settings(CLUSTER, "postgres"))


def test_a_second_checkout_is_told_whose_the_stack_is_and_how_to_stop_it(owner_file, live_checkout, tmp_path):
    owner.claim(Settings(), live_checkout, owner_file)
    with pytest.raises(StackError, match=f"The stack of {live_checkout} is up.*cd {live_checkout} && python -m local"):
        owner.claim(Settings(), tmp_path / "second", owner_file)
    assert owner.read(owner_file).checkout == live_checkout


def test_a_stack_whose_processes_have_all_gone_is_taken_over(owner_file, tmp_path):
    owner.claim(Settings(), tmp_path / "first", owner_file)
    owner.claim(Settings(), tmp_path / "second", owner_file)
    assert owner.read(owner_file).checkout == tmp_path / "second"


def test_the_owner_may_claim_again_with_another_database(owner_file, live_checkout):
    owner.claim(Settings(), live_checkout, owner_file)
    owner.claim(Settings(database="postgres"), live_checkout, owner_file)
    assert owner.checked(live_checkout, owner_file).settings.database == "postgres"


def test_the_cluster_does_not_change_under_a_stack_that_is_up(owner_file, live_checkout):
    owner.claim(Settings(), live_checkout, owner_file)
    with pytest.raises(StackError, match=r"up on its own cluster; .*python -m local down"):
        owner.claim(Settings(CLUSTER), live_checkout, owner_file)


def test_settings_of_a_stack_that_has_gone_do_not_count(owner_file, tmp_path):
    owner.claim(Settings(CLUSTER), tmp_path, owner_file)
    assert owner.checked(tmp_path, owner_file) is None


def test_pid_files_that_programs_write_themselves_are_no_sign_of_life(tmp_path):
    part = tmp_path / ".local" / "part"
    part.mkdir(parents=True)
    (part / "theirs.pid").write_text("1\n")
    assert not owner.in_use(tmp_path)


def test_a_released_stack_has_no_owner(owner_file, tmp_path):
    owner.claim(Settings(), tmp_path, owner_file)
    owner.release(owner_file)
    owner.release(owner_file)
    assert owner.read(owner_file) is None


def test_a_damaged_record_is_named(owner_file):
    owner_file.write_text("{")
    with pytest.raises(StackError, match=f"{owner_file} is not JSON"):
        owner.read(owner_file)


def test_whoever_reads_while_it_is_claimed_again_reads_it_whole(tmp_path):
    file = tmp_path / "owner.json"
    owner.claim(Settings(), tmp_path, file)
    claiming = threading.Thread(target=lambda: [owner.claim(Settings(), tmp_path, file) for _ in range(300)])
    claiming.start()
    while claiming.is_alive():
        assert owner.read(file) is not None
    claiming.join()
