"""Continuous delivery and elastic scaling on Tencent Kubernetes Engine, from Apache Airflow.

Airflow imports this package in every process to discover the provider, so it imports nothing.
"""

__version__ = "0.1.0"
