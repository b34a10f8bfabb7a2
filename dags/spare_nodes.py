"""Nodes by day, and another pool that stands in when the cloud has no more of the first one's machines."""

# [START spare_nodes]
from tke_provider.recipes import scaling_dag  # for Airflow

dag = scaling_dag("""
name: spare-nodes
time_zone: Asia/Shanghai
targets:
  nodes:
    node_pool: web
    usual: 1
    fallback: {other_pool: spare}
  spare:
    node_pool: native
    usual: 1
    guards: {max: 6}  # it stands in for no more than five
windows:
  - name: day
    cron: "0 8 * * *"
    duration: 12h
    sizes: {nodes: 3}
""", dag_id="spare_nodes", is_paused_upon_creation=True)  # fmt: skip
# [END spare_nodes]
