"""What Airflow reads to discover the provider. It runs in every Airflow process, so it imports nothing."""

from __future__ import annotations


def get_provider_info() -> dict[str, object]:
    """Describe the provider; the shape is Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-tke",
        "name": "Tencent Kubernetes Engine",
        "description": "Continuous delivery and elastic scaling on Tencent Kubernetes Engine.",
        "connection-types": [
            {
                "connection-type": "tke",
                "hook-class-name": "tke_provider.hooks.tke.TkeHook",
                "hook-name": "Tencent Kubernetes Engine",
                "ui-field-behaviour": _STANDARD_FIELDS,
                "conn-fields": _EXTRA_FIELDS,
            },
            {
                "connection-type": "tke_webhook",
                "hook-class-name": "tke_provider.hooks.webhooks.WebhookHook",
                "hook-name": "Webhook for Tencent Kubernetes Engine",
                "ui-field-behaviour": _WEBHOOK_STANDARD_FIELDS,
                "conn-fields": _WEBHOOK_FIELDS,
            },
            {
                "connection-type": "prometheus",
                "hook-class-name": "tke_provider.hooks.prometheus.PrometheusHook",
                "hook-name": "Prometheus",
                "ui-field-behaviour": _PROMETHEUS_STANDARD_FIELDS,
                "conn-fields": _PROMETHEUS_FIELDS,
            },
            {
                "connection-type": "wecom",
                "hook-class-name": "tke_provider.hooks.wecom.WeComHook",
                "hook-name": "WeCom group robot",
                "ui-field-behaviour": _WECOM_STANDARD_FIELDS,
            },
        ],
        "asset-uris": [
            {
                "schemes": ["tke"],
                "handler": "tke_provider.domain.assets.sanitize_uri",
                "factory": "tke_provider.operators.assets.release_asset",
            }
        ],
        "notifications": ["tke_provider.notifications.wecom.WeComNotifier"],
        "extra-links": [
            f"tke_provider.links.console.{name}"
            for name in ("ClusterLink", "WorkloadLink", "NodePoolLink", "ImageLink")
        ]
        + ["tke_provider.links.commits.CommitLink", "tke_provider.links.reports.ReportsLink"],
    }


_STANDARD_FIELDS = {
    "hidden-fields": ["host", "port", "schema"],
    "relabeling": {"login": "SecretId", "password": "SecretKey"},
    "placeholders": {"login": "AKID…", "region": "ap-guangzhou", "cluster_id": "cls-xxxxxxxx"},
}

# Offered, not enforced: the cloud opens regions faster than we release.
_REGIONS = [
    "ap-guangzhou", "ap-shanghai", "ap-nanjing", "ap-beijing", "ap-chengdu", "ap-chongqing", "ap-hongkong",
    "ap-singapore", "ap-bangkok", "ap-jakarta", "ap-seoul", "ap-tokyo", "na-siliconvalley", "na-ashburn",
    "eu-frankfurt", "sa-saopaulo", "ap-shanghai-fsi", "ap-shenzhen-fsi", "ap-beijing-fsi",
]  # fmt: skip

_TEXT = ["string", "null"]

# They lie in the connection's extra. Airflow hides the values of those whose name contains "secret" or "token".
_EXTRA_FIELDS = {
    "region": {
        "label": "Region",
        "description": "Where clusters and registries are looked for, unless a task names another region.",
        "schema": {"type": _TEXT, "examples": _REGIONS},
    },
    "cluster_id": {
        "label": "Default cluster",
        "description": "The cluster (cls-xxxxxxxx) of tasks that name none.",
        "schema": {"type": _TEXT, "pattern": "^(cls-[0-9a-z]+)?$"},
    },
    "registry_id": {
        "label": "Default registry",
        "description": "The TCR enterprise registry (tcr-xxxxxxxx) of tasks that name none.",
        "schema": {"type": _TEXT, "pattern": "^(tcr-[0-9a-z]+)?$"},
    },
    "use_external_endpoint": {
        "label": "Public cluster endpoint",
        "description": "Reach clusters over the internet. Off: over the private network that Airflow then must be in.",
        "schema": {"type": "boolean", "default": False},
    },
    "credential_source": {
        "label": "Credential source",
        "description": (
            "static: SecretId and SecretKey as they are. role: they assume the role below."
            " cvm: the role of the virtual machine. pod_identity: the role of the pod's service account in TKE."
        ),
        "schema": {"type": "string", "enum": ["static", "role", "cvm", "pod_identity"], "default": "static"},
    },
    "role_arn": {
        "label": "Role to assume",
        "description": "For credential source role: qcs::cam::uin/<account>:roleName/<role>.",
        "schema": {"type": _TEXT},
    },
    "sts_token": {
        "label": "Session token",
        "description": "Belongs to SecretId and SecretKey where they are temporary. It is not renewed.",
        "schema": {"type": _TEXT, "format": "password"},
    },
    "api_endpoint": {
        "label": "API endpoint",
        "description": (
            "Replaces the public endpoints, for private and emulated clouds: http(s)://host[:port]."
            " {service} stands for the service, as in https://{service}.intl.tencentcloudapi.com."
        ),
        "schema": {"type": _TEXT},
    },
    "kubeconfig_secret": {
        "label": "Kubeconfig",
        "description": "For a cluster of your own: used instead of asking TKE for one.",
        "schema": {"type": _TEXT, "format": "multiline"},
    },
}

_WEBHOOK_STANDARD_FIELDS = {
    "hidden-fields": ["host", "port", "schema", "login"],
    "relabeling": {"password": "Secret"},
    "placeholders": {"password": "the same as at the sender"},
}

_WEBHOOK_FIELDS = {
    "sender": {
        "label": "Sender",
        "description": "Who delivers to /tke/webhooks/<connection id>. generic signs as docs/pushes.md says.",
        "schema": {
            "type": "string",
            "enum": ["github", "gitlab", "gitea", "gitee", "coding", "gongfeng", "tcr", "generic"],
        },
    },
    "dag_id": {"label": "DAG", "description": "What a delivery starts.", "schema": {"type": "string"}},
    "repositories": {
        "label": "Repositories",
        "description": "Addresses to clone from, without a login, separated by spaces. Any other starts nothing.",
        "schema": {"type": "string"},
    },
    "branches": {
        "label": "Branches",
        "description": "Patterns such as main release/*, separated by spaces.",
        "schema": {"type": _TEXT, "default": "main master"},
    },
    "tags": {
        "label": "Tags",
        "description": "Patterns such as v*, separated by spaces. Without any, tags start nothing.",
        "schema": {"type": _TEXT},
    },
    "paths": {
        "label": "Paths",
        "description": "Patterns of files such as services/*; a push that changes none of them starts nothing.",
        "schema": {"type": _TEXT},
    },
    "params": {
        "label": "Parameters",
        "description": (
            "JSON: parameter of the DAG and what it is filled with: repository, commit, branch, tag or digest."
            ' Default: {"git_url": "repository", "commit": "commit"}.'
        ),
        "schema": {"type": _TEXT},
    },
    "build": {
        "label": "Build",
        "description": "every: each push. latest: a newer push of a branch skips runs of older ones that still wait.",
        "schema": {"type": "string", "enum": ["every", "latest"], "default": "every"},
    },
    "per_minute": {
        "label": "Deliveries a minute",
        "description": "More than these are asked to come later.",
        "schema": {"type": "integer", "minimum": 1, "default": 60},
    },
}

_PROMETHEUS_STANDARD_FIELDS = {
    "hidden-fields": [],
    "relabeling": {"login": "User (AppID)", "password": "Password (instance token)", "schema": "Scheme"},
    "placeholders": {"host": "10.0.0.9 or http://10.0.0.9:9090/path", "port": "9090", "schema": "http"},
}

_PROMETHEUS_FIELDS = {
    "bearer_token": {
        "label": "Bearer token",
        "description": "Sent instead of user and password.",
        "schema": {"type": _TEXT, "format": "password"},
    },
}

_WECOM_STANDARD_FIELDS = {
    "hidden-fields": ["login", "extra"],
    "relabeling": {"password": "Key", "host": "Gateway"},
    "placeholders": {"password": "what the webhook URL ends with, after key=", "host": "https://qyapi.weixin.qq.com"},
}
