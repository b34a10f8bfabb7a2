"""What Airflow reads to discover the provider. It runs in every Airflow process, so it imports nothing."""

from __future__ import annotations

REGIONS = [
    "ap-guangzhou", "ap-shanghai", "ap-nanjing", "ap-beijing", "ap-chengdu", "ap-chongqing", "ap-hongkong",
    "ap-singapore", "ap-bangkok", "ap-jakarta", "ap-seoul", "ap-tokyo", "na-siliconvalley", "na-ashburn",
    "eu-frankfurt", "sa-saopaulo", "ap-shanghai-fsi", "ap-shenzhen-fsi", "ap-beijing-fsi",
]  # fmt: skip


def get_provider_info() -> dict[str, object]:
    """Describe the provider; the shape is Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-tke",
        "name": "Tencent Kubernetes Engine",
        "description": "Continuous delivery and elastic scaling on Tencent Kubernetes Engine.",
        "connection-types": [TKE_CONNECTION],
    }


TKE_CONNECTION: dict[str, object] = {
    "connection-type": "tke",
    "hook-class-name": "tke_provider.hooks.tke.TkeHook",
    "hook-name": "Tencent Kubernetes Engine",
}
