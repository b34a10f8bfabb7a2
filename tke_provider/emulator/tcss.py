"""TCSS 2020-11-01, container security: the scanner of images. TCR itself has no action that tells what was found.

Images are those of the real registry. Nothing here scans: the remote control says what the scanner finds, and a scan
that was started goes on until it has.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tke_provider.emulator.cloud import page
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.models import Json, Scan

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Cloud, Handler
    from tke_provider.emulator.models import Registry


def describe_asset_image_registry_list(call: Call) -> Json:
    """Images of all registries: one row a tag. Rows are counted by ``Offset``, ten a page by default [M]."""
    reader = call.cloud.registry
    if reader is None:
        return {"TotalCount": 0, "List": []}
    tags = [
        (registry, repository, tag)
        for registry in call.cloud.state.registries.values()
        for repository in reader.repositories()
        if repository.split("/", 1)[0] in registry.namespaces
        for tag in reader.tags(repository) or []
    ]
    rows = [
        _describe(call.cloud, digest, registry, repository, tag)
        for registry, repository, tag in page(tags, {"Limit": 10, **call.params})
        if (digest := reader.digest(repository, tag))
    ]
    return {"TotalCount": len(tags), "List": rows}


def create_asset_image_registry_scan_task(call: Call) -> Json:
    """Start scans of the images with these ids; of an id that is not known nothing is said [K]."""
    wanted = call.params.get("Id", [])
    if not wanted:
        raise CloudError("InvalidParameter", "the emulator scans images that are named by Id")
    for scan in call.cloud.state.scans.values():
        if scan.id in wanted:
            scan.status, scan.found = "SCANNING", {}
    call.cloud.state.serial += 1
    return {"TaskID": call.cloud.state.serial}


def scan_of(cloud: Cloud, digest: str) -> Scan:
    """What is known of an image, which begins with nothing but a number."""
    if digest not in cloud.state.scans:
        cloud.state.serial += 1
        cloud.state.scans[digest] = Scan(cloud.state.serial)
    return cloud.state.scans[digest]


def _describe(cloud: Cloud, digest: str, registry: Registry, repository: str, tag: str) -> Json:
    space, name = repository.split("/", 1)
    scan = scan_of(cloud, digest)
    done = scan.status == "SCANNED"
    domain = cloud.registry.domain if cloud.registry else ""
    # The words SCANNED and SCAN_ERR are in the published example, SCANNING in that of the scan's progress [M];
    # NOT_SCAN is inferred from notScan of DescribeAssetImageList [D 1163/53169].
    return {
        "Id": scan.id,
        "ImageDigest": digest,
        "ImageTag": tag,
        "ImageName": name,
        "Namespace": space,
        "ImageRepoAddress": f"{domain}/{repository}",
        "InstanceId": registry.id,
        "InstanceName": registry.name,
        "RegistryType": "tcr",
        "RegistryRegion": registry.region,
        "IsAuthorized": 1,
        "ScanStatus": scan.status,
        "CveStatus": scan.status,
        "VirusStatus": scan.status,
        "RiskStatus": scan.status,
        "ScanTime": datetime.fromtimestamp(scan.at, timezone.utc).isoformat(timespec="seconds") if scan.at else "",
        "ScanVulError": scan.reason,
        "Reason": scan.reason,
        "Progress": 100 if done else 0,
        "VulCnt": sum(scan.found.get(level, 0) for level in ("Critical", "High", "Medium", "Low")),
        "VirusCnt": scan.found.get("Virus", 0),
        **{f"{level}LevelVulCnt": scan.found.get(level, 0) for level in ("Critical", "High", "Medium", "Low")},
    }


ACTIONS: dict[str, Handler] = {
    "CreateAssetImageRegistryScanTask": create_asset_image_registry_scan_task,
    "DescribeAssetImageRegistryList": describe_asset_image_registry_list,
}
