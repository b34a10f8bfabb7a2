from __future__ import annotations

import pytest
from airflow.sdk.log import redact

from tke_provider.exceptions import NotFoundError
from tke_provider.hooks.connections import find_connection, mask


async def test_a_connection_that_does_not_exist_is_named_with_what_to_add():
    with pytest.raises(NotFoundError, match="There is no connection nothing; add one of type Prometheus"):
        await find_connection("nothing", "add one of type Prometheus")


async def test_what_is_masked_shows_in_no_log_and_nothing_is_not_masked():
    await mask("value-of-a-secret", "")
    assert redact("it is value-of-a-secret") == "it is ***"
    assert redact("a b") == "a b"
