"""What a DAG file pays for importing operators: seconds and memory beyond ``airflow.sdk``, each in a fresh process.

    python benchmarks/dag_parse.py [runs]

Prints the median and range of each, and the ratio to ours, run by run in turn so that a drifting machine cancels out.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

OURS = (
    "tke_provider.operators.checks tke_provider.operators.images "
    "tke_provider.operators.rollouts tke_provider.operators.scaling"
)
PEERS = {
    "ours (all operators)": OURS,
    "cncf KubernetesPodOperator": "airflow.providers.cncf.kubernetes.operators.pod",
    "cncf KubernetesCreateResourceOperator": "airflow.providers.cncf.kubernetes.operators.resource",
    "docker DockerOperator": "airflow.providers.docker.operators.docker",
}
PROGRAM = """
import importlib, resource, sys, time, warnings
warnings.simplefilter("ignore")
import airflow.sdk
airflow.sdk.DAG, airflow.sdk.BaseOperator
memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, started = memory(), time.perf_counter()
for name in sys.argv[1].split():
    importlib.import_module(name)
print(time.perf_counter() - started, memory() - before)
"""


def measure(modules: str) -> tuple[float, float]:
    """Import modules in a fresh process; return seconds and MB beyond ``airflow.sdk``."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, modules], capture_output=True, text=True, check=True)
    seconds, megabytes = done.stdout.split()[-2:]
    return float(seconds), float(megabytes)


def main() -> None:
    """Measure everybody in turn, and print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in PEERS}
    for _ in range(runs):
        for name, modules in PEERS.items():
            rows[name].append(measure(modules))
    ours = rows["ours (all operators)"]
    print(f"{'import':<40} {'seconds: median (range)':>26} {'MB':>7} {'times ours':>11}")
    for name, measured in rows.items():
        seconds = [row[0] for row in measured]
        ratio = statistics.median(row[0] / own[0] for row, own in zip(measured, ours, strict=True))
        memory = statistics.median(row[1] for row in measured)
        spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        print(f"{name:<40} {spread:>26} {memory:>7.0f} {ratio:>11.1f}")


if __name__ == "__main__":
    main()
