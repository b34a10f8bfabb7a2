"""How fast a plan may be carried out."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tke_provider.operators.plans import TkeApplyScheduleOperator


@pytest.mark.parametrize("pace", [{"concurrency": 0}, {"per_second": 0}])
def test_a_pace_that_lets_nothing_through_is_refused_before_anything_is_looked_at(pace):
    operator = TkeApplyScheduleOperator(task_id="apply", plan="no plan at all", **pace)
    with pytest.raises(AirflowFailException, match="no plan would end; let at least one at a time"):
        operator.execute({})
