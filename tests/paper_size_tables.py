"""Invented tables of the paper's size, with five planted values that go with one task each."""

from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.facts import RunTotals
from vitw_ray.intervals import odds_ratio, wilson
from vitw_ray.records import TABLES

SUBJECTIVE = 308_210
PLANTED = {
    "historical accuracy": "Explaining history",
    "healthy boundaries": "Advice on relationships",
    "academic rigor": "Writing essays",
    "mutual consent": "Writing stories",
    "harm prevention": "Requests that break rules",
}
WORDS = (
    "care",
    "truth",
    "order",
    "play",
    "reason",
    "grace",
    "skill",
    "trust",
    "calm",
    "depth",
    "scope",
    "craft",
    "rigor",
    "wit",
)
KINDS = (
    "quiet",
    "public",
    "moral",
    "shared",
    "family",
    "client",
    "honest",
    "inner",
    "bold",
    "plain",
    "warm",
    "fair",
)
LEVELS = {"ai_values": (266, 26, 5), "human_values": (80, 12, 3)}
ABOUT = "Values of this kind show in how an answer weighs what is asked against what is good."
MODELS = ("heron-large", "heron-small", "osprey-1", "osprey-2", "kite", "wren")
PERIODS = tuple(f"2025-W{week:02d}" for week in range(1, 13))


def paper_tables(labels: int = 3300) -> dict[str, pa.Table]:
    """The tables that the report reads."""
    rng = np.random.default_rng(0)
    sizes = {
        "ai_values": _sizes(labels, 0.234, [700, 900, 650, 800, 600]),
        "human_values": _sizes(labels // 3, 0.05, []),
    }
    names = {facet: _names(facet, len(size)) for facet, size in sizes.items()}
    tasks = [*PLANTED.values(), *(f"Task of the kind {n}" for n in range(38))]
    task_sizes = rng.integers(1500, 12_000, len(tasks))
    found = {
        "labels": _labels(names, sizes),
        "taxonomy": _taxonomy(names, sizes, tasks, task_sizes),
        "response_types": _answered(rng, names["human_values"], sizes["human_values"], task_sizes),
        "associations": _associations(rng, names, sizes, tasks, task_sizes),
        "variation": _variation(names["ai_values"], sizes["ai_values"]),
        "explicitness": _explicitness(names["ai_values"], sizes["ai_values"]),
        "cooccurrence": _cooccurrence(rng, names["ai_values"], sizes["ai_values"]),
        "model_comparison": _comparison(rng, names["ai_values"], sizes["ai_values"]),
    }
    return {name: _table(name, columns) for name, columns in found.items()}


def paper_totals() -> RunTotals:
    """The counts that go with them."""
    return RunTotals(
        conversations=700_000,
        failed=0,
        subjective=SUBJECTIVE,
        with_any={"ai_values": 303_895, "human_values": 139_003},
        pairs={"ai_values": 1_228_833, "human_values": 456_151},
    )


def _table(name, columns):
    rows = len(next(iter(columns.values())))
    arrays = []
    for field in TABLES[name]:
        column = columns.get(field.name)
        if column is None:
            column = pa.nulls(rows, field.type)
        elif isinstance(column, str | int | bool):
            column = pa.repeat(pa.scalar(column, field.type), rows)
        else:
            column = pa.array(column, field.type, from_pandas=True)
        arrays.append(column)
    return pa.table(arrays, schema=TABLES[name])


def _sizes(number, top, planted):
    rest = np.maximum(top * SUBJECTIVE / (1 + 0.5 * np.arange(number - len(planted))) ** 1.1, 16)
    return np.concatenate([planted, rest]).astype(np.int64)


def _names(facet, number):
    planted = list(PLANTED) if facet == "ai_values" else []
    more = (f"{a} {b} {c}" for a in KINDS for b in [*KINDS, "and"] for c in [*WORDS, "ease", "joy"])
    extra = (f"{a} {b} of {c}" for a in KINDS for b in WORDS for c in [*WORDS, *KINDS])
    return [*planted, *more, *extra][:number]


def _stacked(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _labels(names, sizes):
    return _stacked(
        [
            {
                "facet": np.full(len(sizes[facet]), facet, object),
                "label": np.array(names[facet], object),
                "conversations": sizes[facet],
                "share": sizes[facet] / SUBJECTIVE,
                "kept": np.ones(len(sizes[facet]), bool),
            }
            for facet in names
        ]
    )


def _taxonomy(names, sizes, tasks, task_sizes):
    rows = []
    for facet, levels in LEVELS.items():
        ids, held = list(names[facet]), sizes[facet]
        whole = held.sum()
        for level, below in enumerate((len(ids), *levels)):
            above = levels[level] if level < len(levels) else None
            for n in range(below):
                parent = None if above is None else f"{facet}:l{level + 1}:{n % above}"
                title = ids[n] if level == 0 else f"Cluster {n} at level {level} of {facet[:2]}"
                row = (facet, ids[n], level, parent, title, held[n], whole)
                rows.append(row)
            if above is not None:
                held = np.bincount(np.arange(below) % above, held, above).astype(np.int64)
                ids = [f"{facet}:l{level + 1}:{n}" for n in range(above)]
    whole = task_sizes.sum()
    for n, (task, size) in enumerate(zip(tasks, task_sizes, strict=True)):
        rows.append(("tasks", f"tasks:l1:{n}", 1, None, task, size, whole))
    columns = list(zip(*rows, strict=True))
    keys = ("facet", "cluster_id", "level", "parent_cluster_id", "name", "conversations")
    share = [100 * size / whole for *_, size, whole in rows]
    found = dict(zip(keys, columns, strict=False)) | {"description": [ABOUT] * len(rows)}
    return found | {"pct_total_occurrences": share}


def _answered(rng, human, human_sizes, task_sizes):
    groups = [(None, None, None, SUBJECTIVE)]
    groups += [(model, None, None, 60_000 - 9_000 * n) for n, model in enumerate(MODELS)]
    groups += [(None, "tasks", f"tasks:l1:{n}", size) for n, size in enumerate(task_sizes)]
    groups += [(None, "human_values", *pair) for pair in zip(human, human_sizes, strict=True)]
    shares = np.array([0.282, 0.145, 0.096, 0.066, 0.024, 0.030, 0.357])
    lines = []
    for model, facet, over, size in groups:
        counts = rng.multinomial(size, shares)
        low, high = wilson(counts, size)
        for kind, n, a, b in zip(RESPONSE_TYPES, counts, low, high, strict=True):
            lines.append((model, facet, over, kind, n, n / size, a, b))
    keys = ("model", "over_facet", "over", "response_type", "conversations", "share", "low", "high")
    return dict(zip(keys, zip(*lines, strict=True), strict=True))


def _associations(rng, names, sizes, tasks, task_sizes):
    ai, human = sizes["ai_values"], sizes["human_values"]
    types = np.array([0.282, 0.145, 0.096, 0.066, 0.024, 0.030, 0.357]) * SUBJECTIVE
    columns = {
        "tasks": ([f"tasks:l1:{n}" for n in range(len(tasks))], task_sizes),
        "human_values": (names["human_values"][:200], human[:200]),
        "response_types": (list(RESPONSE_TYPES), types.astype(np.int64)),
    }
    rows = [(0, names["ai_values"], ai)]
    for level, number in enumerate(LEVELS["ai_values"], 1):
        held = np.bincount(np.arange(len(rows[-1][1])) % number, rows[-1][2], number)
        ids = [f"ai_values:l{level}:{n}" for n in range(number)]
        rows.append((level, ids, np.minimum(held, SUBJECTIVE * 0.6).astype(np.int64)))
    parts = []
    for facet, (ids, margins) in columns.items():
        for level, row_ids, held in rows:
            expected = np.outer(held, margins) / SUBJECTIVE
            lift = rng.lognormal(0, 0.25, expected.shape)
            if level == 0 and facet == "tasks":
                lift[range(5), range(5)] = 12
            observed = np.minimum(rng.poisson(expected * lift), np.minimum.outer(held, margins))
            i, j = np.nonzero(observed)
            parts.append(_cells(observed, expected, held, margins, i, j))
            parts[-1] |= {
                "row": np.array(row_ids, object)[i],
                "column": np.array(ids, object)[j],
                "column_facet": np.full(i.size, facet, object),
                "level": np.full(i.size, level),
            }
    return _stacked(parts) | {"row_facet": "ai_values"}


def _cells(observed, expected, held, margins, i, j):
    n, e = observed[i, j], expected[i, j]
    rows, columns = held[i], margins[j]
    spread = np.sqrt(e * (1 - rows / SUBJECTIVE) * (1 - columns / SUBJECTIVE))
    residual = (n - e) / spread
    odds, low, high = odds_ratio(n, rows - n, columns - n, SUBJECTIVE - rows - columns + n)
    numbers = {"odds_ratio": odds, "low": low, "high": high, "residual": residual}
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = {"shrunken": odds, "shrunken_low": low, "shrunken_high": high}
        numbers |= {name: np.nan_to_num(np.log(end), neginf=0.0) for name, end in ends.items()}
    sure = (abs(residual) > 5) & (n > 3)
    return {"observed": n, "expected": e, "significant": sure, "discovered": sure, **numbers}


def _variation(names, sizes):
    middle = np.where(np.arange(len(names)) < 5, 3.0, 0.8)
    half = 3 / np.sqrt(sizes)
    parts = [
        {"over_facet": np.full(len(names), over, object), "label": np.array(names, object)}
        | {"share": sizes / SUBJECTIVE, "coefficient_of_variation": middle + half}
        | {"corrected": middle, "low": np.maximum(middle - half, 0), "high": middle + half}
        for over in ("tasks", "human_values")
    ]
    return _stacked(parts) | {"facet": "ai_values"}


def _explicitness(names, sizes):
    explicit = sizes // 5
    residual = np.linspace(-9, 9, len(names))
    found = {"label": names, "explicit": explicit, "implicit": sizes - explicit}
    return found | {"residual": residual}


def _cooccurrence(rng, names, sizes):
    a, b = np.triu_indices(400, 1)
    expected = sizes[a] * sizes[b] / SUBJECTIVE
    both = rng.poisson(expected * rng.lognormal(0, 0.5, a.size))
    seen = both > 2
    pairs = np.sort(np.array([np.array(names, object)[a], np.array(names, object)[b]]), axis=0)
    return {"label_a": pairs[0][seen], "label_b": pairs[1][seen], "conversations": both[seen]} | {
        "facet": "ai_values"
    }


def _comparison(rng, names, sizes):
    shares = sizes / SUBJECTIVE
    held = {model: 60_000 - 9_000 * n for n, model in enumerate(MODELS)}
    held |= {period: 25_000 + 100 * n for n, period in enumerate(PERIODS)}
    seen = {name: rng.binomial(n, np.minimum(shares, 1)) / n for name, n in held.items()}
    pairs = [("models", *pair, "nothing") for pair in combinations(MODELS, 2)]
    pairs += [("models", *pair, "tasks") for pair in combinations(MODELS, 2)]
    pairs += [("models", *MODELS[:2], "prompts")]
    pairs += [("periods", b, a, "nothing") for a, b in pairwise(PERIODS)]
    top = np.argsort(-sizes, kind="stable")[:1000]
    parts = []
    for kind, a, b, matched in pairs:
        one, two = seen[a][top], seen[b][top]
        half = 1.96 * np.sqrt(one * (1 - one) / held[a] + two * (1 - two) / held[b])
        difference = one - two
        parts.append(
            {
                "label": np.array(names, object)[top],
                "share_a": one,
                "share_b": two,
                "difference": difference,
                "low": difference - half,
                "high": difference + half,
                "p_adjusted": np.where(abs(difference) > 1.5 * half, 0.001, 0.9),
                "conversations_a": np.full(top.size, held[a]),
                "conversations_b": np.full(top.size, held[b]),
                "groups": np.full(top.size, kind, object),
                "model_a": np.full(top.size, a, object),
                "model_b": np.full(top.size, b, object),
                "matched_on": np.full(top.size, matched, object),
            }
        )
    return _stacked(parts) | {"facet": "ai_values"}
