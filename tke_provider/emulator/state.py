"""The first state, and how the state outlives the process."""

from __future__ import annotations

import os
import secrets
import string
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from tke_provider.emulator.models import Cluster, Endpoint, Key, Namespace, Node, Pool, Registry, State

if TYPE_CHECKING:
    from collections.abc import Mapping

UIN = "100000000001"
REGION = "ap-guangzhou"
SUBNET = "subnet-local000"
FIRST_POOLS = {"Regular": "np-regular0", "Native": "np-native00", "Super": "np-super000"}
"""The ids of the first pools, by type."""
_ALPHABET = string.ascii_lowercase + string.digits


def new_id(prefix: str) -> str:
    """An id in the shape of the cloud's own: prefix and eight characters [M]."""
    return f"{prefix}-{''.join(secrets.choice(_ALPHABET) for _ in range(8))}"


def new_secret() -> tuple[str, str]:
    """A SecretId and SecretKey in the cloud's shape."""
    letters = string.ascii_letters + string.digits
    return "AKID" + "".join(secrets.choice(letters) for _ in range(32)), secrets.token_urlsafe(24)


def root_key(uin: str, secret_key: str) -> Key:
    """The account's own key: type, user and ARN as in the first published example of GetCallerIdentity [M].

    That the account itself, as well as its users, is a ``CAMUser`` is inferred.
    """
    return Key(secret_key, arn=f"qcs::cam:{uin}:uin/{uin}", type="CAMUser", user_id=uin)


def first_state(secret_id: str, secret_key: str, pools: Mapping[str, str] = FIRST_POOLS) -> State:
    """One running cluster with a pool of each type and one node, and one registry with two namespaces.

    :param pools: The ids of its pools, by type.
    """
    now = time.time()
    return State(
        uin=UIN,
        root=secret_id,
        owner=new_id("emulator"),
        keys={secret_id: root_key(UIN, secret_key)},
        clusters={"cls-local000": _first_cluster(now, pools)},
        registries={"tcr-local000": _first_registry(now)},
        serial=10,
    )


def _first_cluster(now: float, ids: Mapping[str, str]) -> Cluster:
    regular, native = ids["Regular"], ids["Native"]
    pools = [
        Pool(regular, "web", "Regular", minimum=0, maximum=10, desired=1, created=now),
        Pool(native, "native", "Native", minimum=0, maximum=10, desired=1, created=now),
        Pool(ids["Super"], "super", "Super", minimum=0, maximum=0, desired=0, created=now),
    ]
    pools[2].options = {"SubnetIds": [SUBNET]}
    nodes = [
        Node(new_id("ins"), regular, "Regular", "10.0.0.1", now, state="normal"),
        Node(f"{native}-{secrets.token_hex(4)[:5]}", native, "Native", "10.0.0.2", now, state="normal"),
    ]
    return Cluster(
        "cls-local000",
        "local",
        REGION,
        now,
        internal=Endpoint("Created", subnet=SUBNET),
        external=Endpoint("Created", security_group="sg-local000"),
        pools={pool.id: pool for pool in pools},
        nodes={node.id: node for node in nodes},
    )


def _first_registry(now: float) -> Registry:
    names = ("test", "production")
    spaces = {name: Namespace(name, number, now) for number, name in enumerate(names, start=1)}
    return Registry("tcr-local000", "local", REGION, now, namespaces=spaces)


def _complaint(error: ValidationError) -> str:
    """What is wrong with a state, without a word of what is in it: below the fields of ``State`` stand ids."""
    first = error.errors(include_input=False, include_context=False, include_url=False)[0]
    where = f"{first['loc'][0]}: " if first["loc"] and first["loc"][0] in State.__dataclass_fields__ else ""
    return where + first["type"].replace("_", " ")


class StateFile:
    """The state on disk: one JSON file of mode 0600, replaced as a whole on every write.

    :param path: Where it lies. It holds secret keys.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._adapter = TypeAdapter(State)
        self._saved = b""

    def load(self) -> State | None:
        """What is on disk, or None when there is nothing yet.

        :raises ValueError: The file is not a state of this emulator.
        """
        if not self.path.exists():
            return None
        self._saved = self.path.read_bytes()
        try:
            return self._adapter.validate_json(self._saved)
        except ValidationError as e:
            # Not chained, and without pydantic's own words on the input: the file holds keys.
            raise ValueError(
                f"{self.path} is not a state of this emulator ({_complaint(e)}); move it away to begin anew"
            ) from None

    def save(self, state: State) -> bool:
        """Write the state if it differs from what is on disk; return whether it did."""
        content = self._adapter.dump_json(state, indent=1)
        if content == self._saved:
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp makes the file with mode 0600, so that the keys are never readable by others.
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(self.path)
        self._saved = content
        return True
