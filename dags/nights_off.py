"""Test environments sleep at night and on days off, and wake at the size that each of them had."""

# [START nights_off]
from tke_provider.recipes import scaling_dag  # for Airflow

dag = scaling_dag("""
name: nights-off
time_zone: Asia/Shanghai
calendar: {holidays: CN}
targets:
  everything:
    service: {namespace: pre-release, selector: "!keep-awake"}
windows:
  - name: night
    cron: "0 21 * * *"
    duration: 10h
    sizes: {everything: 0}
  - name: day off
    cron: "0 0 * * *"
    duration: 24h
    only_on: {days: days_off}
    sizes: {everything: 0}
""", every="*/15 * * * *", dag_id="nights_off", is_paused_upon_creation=True)  # fmt: skip
# [END nights_off]
