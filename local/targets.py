"""What Prometheus scrapes: the pods that ask for it, as of now. A small server that Prometheus asks for its targets.

Debian's Prometheus is built without the discovery of Kubernetes; the discovery by HTTP is there. A pod asks by the
annotations ``prometheus.io/scrape: "true"`` and ``prometheus.io/port``.
"""

from __future__ import annotations

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SCRAPE, _PORT = "prometheus.io/scrape", "prometheus.io/port"
_ANSWERED_HEADERS = (("Content-Type", "application/json"),)


def targets(pods: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the targets of running pods, in the form that Prometheus reads (its page "HTTP SD").

    :param pods: as the API server lists them.
    """
    found = []
    for pod in pods:
        metadata, status = pod["metadata"], pod.get("status", {})
        annotations = metadata.get("annotations") or {}
        if annotations.get(_SCRAPE) != "true" or not status.get("podIP") or status.get("phase") != "Running":
            continue
        labels = {
            "namespace": metadata["namespace"],
            "pod": metadata["name"],
            "node": pod["spec"].get("nodeName", ""),
            "app": (metadata.get("labels") or {}).get("app", ""),
        }
        found.append({"targets": [f"{status['podIP']}:{annotations.get(_PORT, '80')}"], "labels": labels})
    return found


def serve(kubeconfig: str, port: int, node: str) -> None:
    """Answer until killed.

    :param node: whose pods; all of them where it is empty.
    """
    from kubernetes import client, config

    core = client.CoreV1Api(config.new_client_from_config(kubeconfig))
    selector = f"spec.nodeName={node}" if node else ""

    class Discovery(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer with the targets; when the cluster does not answer, Prometheus keeps those it knows."""
            try:
                listed = core.list_pod_for_all_namespaces(field_selector=selector, _preload_content=False)
                body, status = json.dumps(targets(json.loads(listed.data)["items"])).encode(), 200
            except (OSError, ValueError, client.ApiException) as error:
                body, status = str(error).encode(), 503
            self.send_response(status)
            for name, value in (*_ANSWERED_HEADERS, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: it is asked every few seconds."""

    ThreadingHTTPServer(("127.0.0.1", port), Discovery).serve_forever()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--node", default="")
    serve(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
