from __future__ import annotations

import inspect
import pickle

import pytest

from tke_provider import exceptions
from tke_provider.exceptions import BusyError, NotFoundError, RolloutError, TkeError

ALL = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass) if issubclass(kind, TkeError)]


def test_the_sentence_names_the_thing_the_cause_and_the_way_out():
    error = NotFoundError("Cluster cls-1 was not found", cause="ResourceNotFound:\n no such cluster.", way_out="set it")
    assert str(error) == "Cluster cls-1 was not found: ResourceNotFound: no such cluster; set it."


@pytest.mark.parametrize("kind", ALL)
def test_every_error_stands_in_the_drawn_tree_which_says_whether_a_retry_helps(kind):
    line = next(line for line in exceptions.__doc__.splitlines() if f" {kind.__name__}" in f" {line.strip('│├└─ ')}")
    if kind not in {TkeError, exceptions.UnavailableError, exceptions.ConflictError} or "(retry" in line:
        assert kind.retryable == ("retry helps" in line)


def test_no_error_leaks_a_library():
    assert all(base.__module__ in {"builtins", exceptions.__name__} for kind in ALL for base in kind.__mro__)


@pytest.mark.parametrize("kind", [RolloutError, BusyError])
def test_an_error_survives_pickling(kind):
    error = kind("Deployment web is stuck", cause="ErrImagePull", way_out="push the image")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert (type(again), str(again)) == (kind, str(error))
