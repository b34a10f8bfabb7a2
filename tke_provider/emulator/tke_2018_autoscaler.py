"""TKE 2018-05-25: the options of a cluster's autoscaler. What it does with them: ``cluster_autoscaler``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.emulator.errors import CloudError

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Handler
    from tke_provider.emulator.models import Json

# Documented defaults [M]; those of the last four are their published examples.
_DEFAULTS: Json = {
    "IsScaleDownEnabled": True,
    "Expander": "random",
    "MaxEmptyBulkDelete": 10,
    "ScaleDownDelay": 10,
    "ScaleDownUnneededTime": 10,
    "ScaleDownUtilizationThreshold": 50,
    "SkipNodesWithLocalStorage": True,
    "SkipNodesWithSystemPods": True,
    "IgnoreDaemonSetsUtilization": False,
    "OkTotalUnreadyCount": 3,
    "MaxTotalUnreadyPercentage": 20,
    "ScaleDownUnreadyTime": 10,
    "UnregisteredNodeRemovalTime": 10,
}
_EXPANDERS = ("random", "most-pods", "least-waste")


def describe_cluster_as_group_option(call: Call) -> Json:
    """What is set, and the defaults of the rest."""
    cluster = call.cluster("InternalError.ClusterNotFound")
    return {"ClusterAsGroupOption": {**_DEFAULTS, **cluster.autoscaler}}


def modify_cluster_as_group_option_attribute(call: Call) -> Json:
    """Set what is given, and leave the rest [K]. Times are minutes [M]."""
    cluster = call.cluster("InternalError.ClusterNotFound")
    given = call.params["ClusterAsGroupOption"]
    if given.get("Expander", _EXPANDERS[0]) not in _EXPANDERS:
        # The code is documented for the action [G], the three words are [M].
        raise CloudError("InvalidParameter.Param", f"Expander {given['Expander']} is none of {', '.join(_EXPANDERS)}")
    cluster.autoscaler |= given
    return {}


ACTIONS: dict[str, Handler] = {
    "DescribeClusterAsGroupOption": describe_cluster_as_group_option,
    "ModifyClusterAsGroupOptionAttribute": modify_cluster_as_group_option_attribute,
}
