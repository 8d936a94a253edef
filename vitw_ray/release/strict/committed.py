"""Findings as JSON: what is kept under `private/`, so that a release is drawn only once."""

import json

import numpy as np

from vitw_ray.release.strict.measure import Crossed, Findings, Measured


def to_json(found: Findings) -> bytes:
    """Findings as bytes."""
    content = {
        "account_conversations": found.account_conversations,
        "conversation_pairs": found.conversation_pairs,
        "conversations": found.conversations,
        "conversations_scale": found.conversations_scale,
        "facets": {facet: _plain(measured) for facet, measured in found.facets.items()},
        "response_types": _plain(found.response_types),
        "crossed": {
            name: {
                "rows": _plain(crossed.rows),
                "columns": _plain(crossed.columns),
                "counts": crossed.counts.tolist(),
                "scale": crossed.scale,
            }
            for name, crossed in found.crossed.items()
        },
        "sure_from": dict(found.sure_from),
    }
    return json.dumps(content).encode()


def from_json(content: bytes) -> Findings:
    """What `to_json` has written."""
    read = json.loads(content)
    crossed = {}
    for name, one in read["crossed"].items():
        rows, columns = _measured(one["rows"]), _measured(one["columns"])
        counts = np.array(one["counts"], np.int64).reshape(len(rows.names), len(columns.names))
        crossed[name] = Crossed(rows, columns, counts, one["scale"])
    return Findings(
        read["account_conversations"],
        read["conversation_pairs"],
        read["conversations"],
        read["conversations_scale"],
        {facet: _measured(one) for facet, one in read["facets"].items()},
        _measured(read["response_types"]),
        crossed,
        read["sure_from"],
    )


def _plain(measured: Measured) -> dict[str, list]:
    return {
        "names": list(measured.names),
        "counts": measured.counts.tolist(),
        "scales": measured.scales.tolist(),
    }


def _measured(read: dict[str, list]) -> Measured:
    return Measured(
        tuple(read["names"]), np.array(read["counts"], np.int64), np.array(read["scales"], float)
    )
