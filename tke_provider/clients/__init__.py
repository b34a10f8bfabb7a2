"""How to speak: to Tencent Cloud, the registry, a cluster, the engine, a git host.

Belongs here: one file per remote service, whose documentation its reader holds beside it; calls, paging, retries,
and the mapping of the service's errors onto ours. Does not belong here: Airflow, and what an answer means
(``domain``). Hooks and the rooms above may enter.
"""
