"""A service and its nodes on working hours: workdays of mainland China, as announced, with make-up workdays."""

# [START working_hours]
from tke_provider.recipes import scaling_dag  # Airflow looks only into files that hold this word, and "dag"

dag = scaling_dag("""
name: working-hours
time_zone: Asia/Shanghai
calendar:
  holidays: CN
targets:
  shop:
    service: {namespace: production, name: shop}
    guards: {min: 1, max: 10}
  nodes:
    node_pool: web
    usual: 1
    lead: 10m
windows:
  - name: working hours
    cron: "0 8 * * *"
    duration: 12h
    only_on: {days: workdays}
    sizes: {shop: 4, nodes: 3}
""", dag_id="working_hours", is_paused_upon_creation=True)  # fmt: skip
# [END working_hours]
