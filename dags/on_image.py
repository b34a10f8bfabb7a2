"""Watch a repository of the registry from within: each image that is pushed there starts ``scanned_promotion``.

Where the registry can call Airflow, add a webhook instead: it is faster, and asks nobody.
"""

from __future__ import annotations

from tke_provider.recipes.pushes import image_dag

# [START on_image]
dag = image_dag(
    "on_image",
    repository="test/web",
    tag="v*",
    starts="scanned_promotion",
    conf={"to_repository": "production/web"},
    tags=["tke", "tcr"],
    doc_md=__doc__,
)
# [END on_image]
