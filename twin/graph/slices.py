"""Context slices: which turns a kernel allows as context, and how to prove that it said so.

Facts and walks carry no token; only slices do. Hashes are xxHash64, seed 0, of compact JSON in the order of the
kernel's declarations. Source: canonical.rs and types/slice.rs of the graph kernel; the vectors in the tests are those
of an independent port, and none was checked against the kernel's own program.
"""

import hashlib
import hmac
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import orjson

from twin.errors import ConfigError, DataError

SCHEMA_VERSION: Final = "1.0.0"
TOKEN_VERSION: Final = "admissibility_token_v2_hmac"
TOKEN_BYTES: Final = 16
MICRO: Final = 1e6


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """Which policy a slice was made by."""

    policy_id: str
    params_hash: str


@dataclass(frozen=True, slots=True)
class PolicyList:
    """The registered policies and the hash of them all."""

    policies: tuple[PolicyRef, ...]
    registry_fingerprint: str


@dataclass(frozen=True, slots=True)
class Policy:
    """How far a slice reaches; the defaults are the kernel's."""

    version: str = "slice_policy_v1"
    max_nodes: int = 256
    max_radius: int = 10
    phase_weights: dict[str, float] = field(
        default_factory=lambda: {
            "synthesis": 1.0,
            "planning": 0.9,
            "consolidation": 0.6,
            "debugging": 0.5,
            "exploration": 0.3,
        }
    )
    salience_weight: float = 0.3
    distance_decay: float = 0.9
    include_siblings: bool = True
    max_siblings_per_node: int = 5

    def params_hash(self) -> str:
        """Return the hash by which the policy is known."""
        phases = ("synthesis", "planning", "consolidation", "debugging", "exploration")
        return _hash(
            {
                "version": self.version,
                "max_nodes": self.max_nodes,
                "max_radius": self.max_radius,
                "phase_weights": {name: _micro(self.phase_weights[name]) for name in phases},
                "salience_weight": _micro(self.salience_weight),
                "distance_decay": _micro(self.distance_decay),
                "include_siblings": self.include_siblings,
                "max_siblings_per_node": self.max_siblings_per_node,
            }
        )

    def ref(self) -> PolicyRef:
        """Return what a request names the policy by."""
        return PolicyRef(self.version, self.params_hash())


@dataclass(frozen=True, slots=True)
class Slice:
    """The turns around one turn; no text, no roles, no edges."""

    slice_id: str
    anchor_turn_id: str
    turn_ids: tuple[str, ...]
    edge_count: int
    policy_id: str
    policy_params_hash: str
    schema_version: str
    graph_snapshot_hash: str
    admissibility_token: str

    def claims(self) -> dict[str, str]:
        """Return what the token is a token of, and the token."""
        names = ("admissibility_token", "slice_id", "anchor_turn_id", "policy_id", "policy_params_hash")
        return {name: getattr(self, name) for name in (*names, "graph_snapshot_hash", "schema_version")}


@dataclass(frozen=True, slots=True)
class SliceFailure:
    """A turn without a slice, and why."""

    anchor_turn_id: str
    error: str


@dataclass(frozen=True, slots=True)
class SliceBatch:
    """The slices around several turns."""

    slices: tuple[Slice, ...]
    success_count: int
    errors: tuple[SliceFailure, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether a token is the server's own; `reason` says why not."""

    valid: bool
    reason: str | None


@dataclass(frozen=True, slots=True, order=True)
class TurnEdge:
    """An edge between turns; `edge_type` is Reply, Branch, Reference or Default."""

    parent: str
    child: str
    edge_type: str


def slice_id(
    anchor_turn_id: str, turn_ids: Sequence[str], edges: Sequence[TurnEdge], policy: PolicyRef, version: str
) -> str:
    """Return the id of a slice: turns and edges are sorted first."""
    rows = [{"parent": e.parent, "child": e.child, "edge_type": e.edge_type} for e in sorted(edges)]
    turns = sorted(turn_ids, key=lambda one: UUID(one).bytes)
    return _hash([anchor_turn_id, turns, rows, policy.policy_id, policy.params_hash, version])


def snapshot_hash(contents: dict[str, str], edge_count: int) -> str:
    """Return the hash of a slice's turns by the sha256 of each content: turn id → 64 hex digits."""
    turns = sorted((UUID(turn).bytes, content) for turn, content in contents.items())
    body = b"".join(turn + content.encode() for turn, content in turns)
    return _hex(struct.pack("<Q", edge_count) + SCHEMA_VERSION.encode() + body)


def drift_hash(newest_s: int, turns: int, edges: int) -> str:
    """Return the weaker hash of a slice with turns whose content has no hash: it only tells that something moved."""
    return _hash([newest_s, turns, edges, SCHEMA_VERSION])


def registry_fingerprint(policies: Sequence[PolicyRef]) -> str:
    """Return the hash of all registered policies."""
    refs = sorted((one.policy_id, one.params_hash) for one in policies)
    return _hash([{"policy_id": name, "params_hash": params} for name, params in refs])


def content_hash(text: str) -> str:
    """Return the sha256 of a turn's text with newlines as LF and without white space around it."""
    from twin.graph.names import WHITE

    return hashlib.sha256(text.replace("\r\n", "\n").replace("\r", "\n").strip(WHITE).encode()).hexdigest()


def token(made: Slice, secret: str) -> str:
    """Return the token of a slice under a secret, 32 hex digits.

    Raises:
        DataError: an id holds `|`, which joins the fields: two slices could then have one token.
    """
    claims = made.claims()
    order = ("slice_id", "anchor_turn_id", "policy_id", "policy_params_hash", "graph_snapshot_hash", "schema_version")
    fields = [claims[name] for name in order]
    barred = [one for one in fields if "|" in one]
    if barred:
        raise DataError(
            f"slice {made.slice_id!r}: {barred[0]!r} holds `|`, by which a token could be forged. Refuse it."
        )
    text = "|".join([*fields, TOKEN_VERSION])
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()[:TOKEN_BYTES].hex()


def verify(made: Slice, secret: str) -> bool:
    """Return whether a slice's token was made under this secret; compared in constant time.

    Raises:
        ConfigError: the secret is empty.
        DataError: as `token`.
    """
    if not secret:
        raise ConfigError("the secret of the slices is empty. Set KERNEL_HMAC_SECRET to the kernel's.")
    try:
        said = bytes.fromhex(made.admissibility_token)
    except ValueError:
        return False
    return hmac.compare_digest(said, bytes.fromhex(token(made, secret)))


def _micro(value: float) -> int:
    single: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return math.floor(abs(single) * MICRO + 0.5) * (-1 if single < 0 else 1)  # Rust rounds halves away from zero


def _hash(value: object) -> str:
    return _hex(orjson.dumps(value))


def _hex(data: bytes) -> str:
    try:
        import xxhash
    except ModuleNotFoundError:
        raise ConfigError("hashes of slices need a package: pip install 'cognitive-twin[graph]'.") from None
    return str(xxhash.xxh64_hexdigest(data, seed=0))
