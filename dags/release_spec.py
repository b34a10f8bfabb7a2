"""The same road as ``ci_cd.py``, written down in a release spec: Airflow gets its DAG from ``release_spec.yaml``."""

# [START release_spec]
from pathlib import Path

from tke_provider.recipes import cicd_dag  # Airflow looks only into files that hold this word, and "dag"

dag = cicd_dag(Path(__file__).with_suffix(".yaml"), dag_id="release_spec")
# [END release_spec]
