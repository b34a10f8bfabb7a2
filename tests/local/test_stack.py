from __future__ import annotations

import pytest

from local import ROOT, StackError, __main__, part, stack
from local.endpoints import KUBECONFIG_FILE
from local.part import Part, Settings


def kind_of(name_: str, *needs_: str, fails: bool = False, journal: list[str] | None = None) -> type[Part]:
    """A part that notes in a journal what is done to it."""

    class Noted(Part):
        name = name_
        needs = needs_
        up = False

        def answers(self) -> bool:
            return self.up

        def start(self) -> None:
            if fails:
                raise StackError("no room")
            type(self).up = True
            if journal is not None:
                journal.append(f"start {name_}")

        def stop(self) -> None:
            if fails:
                raise StackError("stuck")
            type(self).up = False

    return Noted


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setattr(part, "STATE", tmp_path)


def start(*kinds: type[Part]) -> None:
    stack._start([kind(Settings()) for kind in kinds])


def test_the_page_of_the_stack_lists_every_part():
    page = (ROOT / "docs" / "local_stack.md").read_text()
    assert [kind.name for kind in stack.PARTS if f"\n| `{kind.name}` |" not in page] == []


def test_every_part_stands_after_what_it_needs():
    seen: set[str] = set()
    for kind in stack.PARTS:
        assert set(kind.needs) <= seen
        seen.add(kind.name)


def test_no_name_means_all_and_the_order_is_theirs():
    assert stack.select(()) == list(stack.PARTS)
    assert [kind.name for kind in stack.select(("airflow", "engine"))] == ["engine", "airflow"]


def test_an_unknown_part_is_named_with_those_there_are():
    with pytest.raises(StackError, match=r"no part 'airflw'; there are: engine, .*airflow"):
        stack.select(["airflw"])


def test_what_a_part_needs_comes_with_it_however_far():
    kinds = [kind_of("a"), kind_of("b", "a"), kind_of("c", "b"), kind_of("d")]
    assert [kind.name for kind in stack.with_needs([kinds[2]], kinds)] == ["a", "b", "c"]


def test_what_comes_up_on_request_is_named_or_needed():
    rare = type("Rare", (kind_of("rare", "a"),), {"on_request": True})
    kinds = [kind_of("a"), rare, kind_of("b")]
    asked = {names: [kind.name for kind in stack.asked_for(names, kinds)] for names in ((), ("rare",))}
    assert asked == {(): ["a", "b"], ("rare",): ["a", "rare"]}
    assert [kind.name for kind in stack.select((), kinds)] == ["a", "rare", "b"], "`down` takes it, too"


def test_what_comes_up_on_request_is_not_missed(monkeypatch):
    rare = type("Rare", (kind_of("rare"),), {"on_request": True})
    monkeypatch.setattr(stack, "PARTS", (kind_of("a"), rare))
    monkeypatch.setattr(stack, "current_settings", Settings)
    assert stack.status() == {"a": False}
    rare.up = True
    assert stack.status() == {"a": False, "rare": True}


def test_a_part_starts_after_what_it_needs():
    journal: list[str] = []
    start(kind_of("a", journal=journal), kind_of("b", "a", journal=journal), kind_of("c", "b", journal=journal))
    assert journal == ["start a", "start b", "start c"]


def test_what_answers_is_not_started_again(capsys):
    journal: list[str] = []
    kind = kind_of("a", journal=journal)
    start(kind)
    start(kind)
    assert journal == ["start a"]
    assert "a            is up" in capsys.readouterr().err


def test_a_failure_is_told_with_what_it_stops_and_the_rest_comes_up():
    journal: list[str] = []
    with pytest.raises(StackError, match="a: no room\nb: not started, because it needs a") as failure:
        start(kind_of("a", fails=True), kind_of("b", "a"), kind_of("c", journal=journal))
    assert "c:" not in str(failure.value)
    assert journal == ["start c"]


def test_a_part_that_does_not_stop_is_named():
    assert stack._stop(kind_of("a", fails=True)(Settings())) == "a: stuck"
    assert stack._stop(kind_of("b")(Settings())) is None


@pytest.fixture
def nothing_is_up(monkeypatch):
    monkeypatch.setattr(stack, "current_settings", Settings)
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.mark.usefixtures("nothing_is_up")
def test_a_kubeconfig_of_the_users_own_is_used(tmp_path, monkeypatch):
    file = tmp_path / "config"
    file.touch()
    assert stack.wanted_settings(file).kubeconfig == file
    monkeypatch.setenv("KUBECONFIG", str(file))
    assert stack.wanted_settings().kubeconfig == file


@pytest.mark.usefixtures("nothing_is_up")
def test_our_own_kubeconfig_in_the_shell_is_not_taken_for_the_users(monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(KUBECONFIG_FILE))
    assert stack.wanted_settings() == Settings()


@pytest.mark.usefixtures("nothing_is_up")
def test_a_kubeconfig_that_is_not_there_is_named(tmp_path, capsys):
    assert __main__.main(["up", "--kubeconfig", str(tmp_path / "no")]) == 1
    assert f"There is no kubeconfig {tmp_path / 'no'}" in capsys.readouterr().err


def test_what_is_not_said_again_stays_as_it_is(monkeypatch):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(stack, "current_settings", lambda: Settings(database="postgres"))
    assert stack.wanted_settings().database == "postgres"
    assert stack.wanted_settings(database="sqlite").database == "sqlite"


@pytest.mark.parametrize(("states", "code"), [({"a": True, "b": True}, 0), ({"a": True, "b": False}, 1)])
def test_status_says_of_each_part_whether_it_answers(monkeypatch, capsys, states, code):
    monkeypatch.setattr(stack, "status", lambda: states)
    assert __main__.main(["status"]) == code
    assert capsys.readouterr().out.split() == ["a", "up", "b", "up" if states["b"] else "down"]
