"""A promotion day: nodes are there before it, every service grows by its share, and a person has seen the table."""

# [START promotion_day]
from tke_provider.recipes import scaling_dag  # for Airflow

dag = scaling_dag("""
name: promotion-day
time_zone: Asia/Shanghai
targets:
  shop:
    service: {namespace: production, name: shop}
  behind-it:
    service: {namespace: production, selector: promotion=yes}
  nodes:
    node_pool: web
    usual: 1
    lead: 30m       # nodes take minutes to come, and images to be pulled
    price: 0.5      # of one node and hour
    fallback: partial  # where the cloud has no more, the rush goes on with those that came
guards: {budget: 10}
windows:
  - name: double eleven
    priority: 10
    from: 2026-11-10 20:00
    until: 2026-11-12 02:00
    sizes: {shop: 500%, behind-it: 300%, nodes: 4}
  - name: rush of the first hour
    priority: 20
    from: 2026-11-11 00:00
    until: 2026-11-11 01:00
    sizes: {shop: 800%}
""", approval=True, dag_id="promotion_day", is_paused_upon_creation=True)  # fmt: skip
# [END promotion_day]
