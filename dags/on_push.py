"""Watch a branch from within, where the git host cannot call Airflow: each new head starts ``ci_cd``.

Where it can, add a webhook instead: it is faster, and asks nobody.
"""

from __future__ import annotations

import os

from tke_provider.recipes.pushes import push_dag

# [START on_push]
dag = push_dag(
    "on_push",
    git_url=os.environ.get("SHOP_GIT_URL", "https://example.com/shop.git"),
    branch="main",
    starts="ci_cd",
    tags=["tke", "delivery"],
    doc_md=__doc__,
)
# [END on_push]
