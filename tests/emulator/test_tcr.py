from __future__ import annotations

import time

from tests.emulator.conftest import REGISTRY


def test_a_registry_is_found_by_its_oddly_spelled_parameter(emulator):
    (registry,) = emulator.tcr("DescribeInstances", Registryids=[REGISTRY])["Registries"]
    assert (registry["RegistryName"], registry["Status"]) == ("local", "Running")
    (status,) = emulator.tcr("DescribeInstanceStatus", RegistryIds=[REGISTRY])["RegistryStatusSet"]
    assert status["Status"] == "Running"


def test_an_unknown_registry_is_not_found(emulator, refused):
    with refused("ResourceNotFound.TcrResourceNotFound", "tcr-unknown0"):
        emulator.tcr("DescribeNamespaces", RegistryId="tcr-unknown0")


def test_the_offset_of_namespaces_is_a_page(emulator):
    for number in range(3):
        emulator.tcr("CreateNamespace", RegistryId=REGISTRY, NamespaceName=f"team-{number}", IsPublic=False)
    pages = [
        [
            space["Name"]
            for space in emulator.tcr("DescribeNamespaces", RegistryId=REGISTRY, Offset=offset, Limit=2)[
                "NamespaceList"
            ]
        ]
        for offset in (0, 1, 2, 3)
    ]
    assert pages == [["test", "production"], ["test", "production"], ["team-0", "team-1"], ["team-2"]]


def test_a_namespace_exists_once(emulator, refused):
    with refused("FailedOperation.ErrorTcrResourceConflict"):
        emulator.tcr("CreateNamespace", RegistryId=REGISTRY, NamespaceName="test", IsPublic=False)
    with refused("InvalidParameter.ErrorTcrInvalidParameter"):
        emulator.tcr("CreateNamespace", RegistryId=REGISTRY, NamespaceName="No Such", IsPublic=False)


def test_a_namespace_with_something_in_it_stays(emulator, refused):
    emulator.tcr("CreateRepository", RegistryId=REGISTRY, NamespaceName="test", RepositoryName="shop")
    with refused("FailedOperation.PreconditionFailed", "test/shop"):
        emulator.tcr("DeleteNamespace", RegistryId=REGISTRY, NamespaceName="test")
    emulator.tcr("DeleteNamespace", RegistryId=REGISTRY, NamespaceName="production")
    with refused("ResourceNotFound.TcrResourceNotFound"):
        emulator.tcr("DeleteNamespace", RegistryId=REGISTRY, NamespaceName="production")


def test_a_repository_is_named_with_its_namespace(emulator, refused):
    emulator.tcr("CreateRepository", RegistryId=REGISTRY, NamespaceName="test", RepositoryName="shop")
    (found,) = emulator.tcr("DescribeRepositories", RegistryId=REGISTRY, NamespaceName="test")["RepositoryList"]
    assert found["Name"] == "test/shop"
    assert (
        emulator.tcr("DescribeImages", RegistryId=REGISTRY, NamespaceName="test", RepositoryName="shop")[
            "ImageInfoList"
        ]
        == []
    )
    with refused("ResourceNotFound.TcrResourceNotFound"):
        emulator.tcr("DescribeImages", RegistryId=REGISTRY, NamespaceName="test", RepositoryName="nothing")


def test_a_token_says_when_it_ends_in_milliseconds(emulator):
    token = emulator.tcr("CreateInstanceToken", RegistryId=REGISTRY, TokenType="temp")
    assert token["TokenId"] == ""
    assert 0 < token["ExpTime"] / 1000 - time.time() <= 3600
    assert emulator.tcr("CreateInstanceToken", RegistryId=REGISTRY, TokenType="longterm")["TokenId"]
