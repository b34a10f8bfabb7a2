from __future__ import annotations

import pytest

from tke_provider.domain.exposure import Ingress, LoadBalancer
from tke_provider.domain.isolation import closed
from tke_provider.domain.manifests import parse
from tke_provider.domain.pods import Health, Resources, Shutdown, Volume
from tke_provider.domain.specs import load
from tke_provider.domain.workloads import Autoscaling, Identity, Logs, Metrics, Workload, manifests


def made(workload: Workload) -> dict[str, dict]:
    """The objects of a service by kind, or by kind and name where there are several."""
    objects = manifests(workload, name="shop", container="web", port=80, application="store", namespace="live")
    assert len(parse(objects)) == len(objects)
    kinds = [each["kind"] for each in objects]
    return {
        each["kind"] if kinds.count(each["kind"]) == 1 else f"{each['kind']}/{each['metadata']['name']}": each
        for each in objects
    }


def pod(workload: Workload) -> dict:
    return made(workload)["Deployment"]["spec"]["template"]["spec"]


def container(workload: Workload) -> dict:
    return pod(workload)["containers"][0]


def test_a_service_that_says_nothing_is_highly_available():
    objects = made(Workload())
    assert objects.keys() == {"Deployment", "Service", "PodDisruptionBudget"}
    deployment = objects["Deployment"]["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert {each["topologyKey"] for each in deployment["template"]["spec"]["topologySpreadConstraints"]} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }
    only = deployment["template"]["spec"]["containers"][0]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= only.keys()
    assert only["resources"]["requests"].keys() == {"cpu", "memory"}


def test_nobody_gets_more_rights_than_the_program_needs():
    spec = pod(Workload())
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_pod_serves_on_while_it_is_taken_out_and_then_has_time_to_end():
    spec = pod(Workload(shutdown=Shutdown(drain=7, grace=20)))
    assert spec["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 7}}}
    assert spec["terminationGracePeriodSeconds"] == 27


def test_an_older_cluster_drains_by_a_command():
    only = container(Workload(shutdown=Shutdown(drain_command="sleep 5")))
    assert only["lifecycle"] == {"preStop": {"exec": {"command": ["sleep", "5"]}}}


def test_a_start_may_take_as_long_as_was_said():
    probe = container(Workload(health=Health(startup=61)))["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 61


@pytest.mark.parametrize(
    ("health", "question"),
    [
        (Health(path="/up"), {"httpGet": {"path": "/up", "port": "main"}}),
        (Health(grpc=True), {"grpc": {"port": 8080}}),
        (Health(tcp=True), {"tcpSocket": {"port": "main"}}),
        (Health(command="check me"), {"exec": {"command": ["check", "me"]}}),
    ],
)
def test_health_is_asked_as_the_program_answers(health, question):
    only = container(Workload(health=health))
    assert all(question.items() <= only[probe].items() for probe in ("startupProbe", "readinessProbe", "livenessProbe"))


def test_whether_it_lives_can_be_asked_elsewhere_than_whether_it_is_ready():
    only = container(Workload(health=Health(path="/ready", live_path="/live")))
    assert only["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert only["livenessProbe"]["httpGet"]["path"] == "/live"


def test_an_autoscaled_service_says_no_size():
    objects = made(Workload(replicas=3, autoscaling=Autoscaling(min=2, max=6)))
    assert "replicas" not in objects["Deployment"]["spec"]
    scaler = objects["HorizontalPodAutoscaler"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)
    assert scaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 80


def test_autoscaling_goes_by_metrics_of_tke_where_asked():
    given = Autoscaling(max=6, metrics={"k8s_pod_network_transmit_bytes_bw": "30M"})
    (metric,) = made(Workload(autoscaling=given))["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"] == {
        "metric": {"name": "k8s_pod_network_transmit_bytes_bw"},
        "target": {"type": "AverageValue", "averageValue": "30M"},
    }


def test_a_disk_for_each_pod_makes_a_stateful_set():
    objects = made(Workload(volumes=(Volume(path="/var/lib/data", size="20Gi"),)))
    assert "Deployment" not in objects
    (claim,) = objects["StatefulSet"]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "cbs"
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert objects["Service/shop-pods"]["spec"]["clusterIP"] == "None"


def test_a_shared_file_system_is_claimed_once():
    objects = made(Workload(volumes=(Volume(path="/data", size="10Gi", shared=True, storage_class="cfs"),)))
    claim = objects["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    (volume,) = objects["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


@pytest.mark.parametrize(
    ("volume", "source"),
    [
        (Volume(path="/a", claim="mine"), {"persistentVolumeClaim": {"claimName": "mine"}}),
        (Volume(path="/a", secret="tls"), {"secret": {"secretName": "tls"}}),
        (Volume(path="/a", config="settings"), {"configMap": {"name": "settings"}}),
        (Volume(path="/a", memory="64Mi"), {"emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}),
    ],
)
def test_what_exists_can_be_mounted(volume, source):
    workload = Workload(volumes=(volume,))
    assert pod(workload)["volumes"] == [{"name": "a", **source}]
    assert container(workload)["volumeMounts"] == [{"name": "a", "mountPath": "/a"}]


def test_secrets_are_named_and_never_written_out():
    given = {"PASSWORD": {"secret": "db", "key": "password"}, "MODE": {"config": "settings", "key": "mode"}, "A": "1"}
    env = container(Workload(env=given))["env"]
    assert env == [
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}},
        {"name": "A", "value": "1"},
    ]


def test_an_identity_is_a_service_account_with_the_role():
    objects = made(Workload(identity=Identity(role="qcs::cam::uin/1:roleName/shop")))
    account = objects["ServiceAccount"]["metadata"]
    assert account["annotations"]["tke.cloud.tencent.com/role-arn"] == "qcs::cam::uin/1:roleName/shop"
    assert objects["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"] == account["name"]


def test_a_load_balancer_of_its_own_is_asked_for_by_annotations():
    service = made(Workload(load_balancer=LoadBalancer(subnet="subnet-1")))["Service"]
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["metadata"]["annotations"] == {
        "service.kubernetes.io/qcloud-loadbalancer-internal-subnetid": "subnet-1",
        "service.cloud.tencent.com/direct-access": "true",
        "service.cloud.tencent.com/enable-grace-shutdown": "true",
    }


@pytest.mark.parametrize(("direct", "kind"), [(True, None), (False, "NodePort")])
def test_an_ingress_reaches_pods_or_the_ports_of_nodes(direct, kind):
    objects = made(Workload(ingress=Ingress(host="shop.example.com", tls="cert", direct=direct)))
    assert objects["Service"]["spec"].get("type") == kind
    spec = objects["Ingress"]["spec"]
    assert spec["rules"][0]["host"] == "shop.example.com"
    assert spec["tls"] == [{"hosts": ["shop.example.com"], "secretName": "cert"}]
    assert objects["Ingress"]["metadata"]["annotations"]["kubernetes.io/ingress.class"] == "qcloud"


def test_an_ingress_of_another_class_has_nothing_of_a_clb():
    objects = made(Workload(ingress=Ingress(host="shop.example.com", tls="cert", class_name="nginx")))
    assert "type" not in objects["Service"]["spec"]
    assert "annotations" not in objects["Ingress"]["metadata"]
    spec = objects["Ingress"]["spec"]
    assert (spec["ingressClassName"], spec["tls"][0]["secretName"]) == ("nginx", "cert")


def test_metrics_and_logs_are_collected_where_asked():
    objects = made(Workload(metrics=Metrics(), logs=Logs(topic="t-1")))
    annotations = objects["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == "8080"
    assert objects["LogConfig"]["metadata"]["name"] == "live-shop"
    assert objects["LogConfig"]["spec"]["clsDetail"]["topicId"] == "t-1"


def test_memory_has_a_limit_and_cpu_only_where_asked():
    assert container(Workload(resources=Resources(memory="64Mi")))["resources"]["limits"] == {"memory": "64Mi"}
    assert container(Workload(resources=Resources(cpu_limit=2)))["resources"]["limits"] == {
        "memory": "128Mi",
        "cpu": "2",
    }


SPEC = """\
application: store
git: {url: https://example.com/store.git}
environments:
  - name: live
    namespace: live
    repositories: production
    isolation: {quota: {pods: 20}, allow_from: [10.0.0.0/8], allow_to: [192.168.0.0/16]}
services:
  prices: {path: prices, workload: {}}
  shop: {path: shop, depends_on: [prices], workload: {load_balancer: {}, metrics: {port: 9090}}}
"""


def test_a_closed_namespace_opens_only_what_the_spec_names():
    spec = load(SPEC)
    rules = {each["metadata"]["name"]: each["spec"] for each in closed(spec, spec.environments[0])}
    assert rules["default-deny"]["policyTypes"] == ["Ingress", "Egress"]
    assert rules["quota"]["hard"] == {"pods": "20"}
    (prices,) = rules["to-prices"]["ingress"]
    assert [each.get("podSelector", each.get("ipBlock")) for each in prices["from"]] == [
        {"matchLabels": {"app.kubernetes.io/name": "shop"}},
        {"cidr": "10.0.0.0/8"},
    ]
    public, metrics = rules["to-shop"]["ingress"]
    assert {"ipBlock": {"cidr": "0.0.0.0/0"}} in public["from"]
    assert metrics["ports"] == [{"port": 9090}]
    assert rules["from-shop"]["egress"] == [
        {"to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "prices"}}}]}
    ]
    assert "from-prices" not in rules


def test_a_namespace_that_nobody_closed_stays_open():
    spec = load(SPEC.replace("    isolation", "    # isolation"))
    assert closed(spec, spec.environments[0]) == []
