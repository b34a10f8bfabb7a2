"""The adapter between Prometheus and the HPA, compiled from its Go module.

Belongs here: the module's pinned versions, and how the adapter is told of the sample's metrics and made known to the
API server. What the API server itself has to know beforehand stands in ``local.kubernetes.front_proxy``.
"""
