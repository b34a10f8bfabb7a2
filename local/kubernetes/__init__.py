"""A Kubernetes of one node, with everything a service meets in TKE except the cloud around it.

What belongs here: the programs, certificates, configuration and network of that cluster, and how all of it is taken
away again. What does not: simulated nodes (``local.kwok``) and anything that is deployed to the cluster.

It differs from TKE in what one machine cannot give: a NetworkPolicy is stored but not enforced by the bridge, a Service
of type LoadBalancer stays pending, host ports are not mapped, and pods reach each other, the API and the machine's
own bridge address, but nothing beyond.
"""

from __future__ import annotations

from local import RUN, STATE

FOLDER = STATE / "kubernetes"
NODE = "local"
DOMAIN = "cluster.local"

#: The stack's own bridge: pods sit on it, and every server that pods must reach listens on its address.
BRIDGE = "tke0"
ADDRESS = "10.199.0.1"
PODS = "10.199.0.0/24"
SERVICES = "10.96.0.0/16"
#: The first of ``SERVICES``: what pods call ``kubernetes.default.svc``.
API_SERVICE_ADDRESS = "10.96.0.1"

API_PORT = 16443
API_URL = f"https://{ADDRESS}:{API_PORT}"
ETCD_PORT = 12379
ETCD_PEER_PORT = 12380
KUBELET_HEALTH_PORT = 16248
PROXY_METRICS_PORT = 16249
PROXY_HEALTH_PORT = 16256
CONTROLLER_MANAGER_PORT = 16257
SCHEDULER_PORT = 16259
DNS_READY_PORT = 16253

#: containerd's, which is not Docker's. Outside the checkout: a socket's path has at most 107 bytes.
CONTAINERD_SOCKET = RUN / "containerd.sock"
CONTAINERD_STATE = RUN / "containerd"
