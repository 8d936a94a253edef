"""Invented but plausible tables and run facts, for the tests of the report and of the release."""

import itertools
import math
import random

import pyarrow as pa

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.facts import RunFacts, RunTotals, StageFacts
from vitw_ray.records import TABLES

CONVERSATIONS, FAILED, SUBJECTIVE = 2814, 9, 1336
KINDS = {
    "Practical values": {
        "Professional excellence": "professionalism thoroughness efficiency craftsmanship",
        "Useful help": "helpfulness usefulness responsiveness pragmatism",
        "Careful planning": "foresight preparation organisation punctuality",
    },
    "Epistemic values": {
        "Clarity and precision": "clarity precision accuracy conciseness",
        "Intellectual honesty": "transparency humility objectivity skepticism",
        "Curiosity": "curiosity learning exploration wonder",
    },
    "Social values": {
        "Care for others": "empathy kindness compassion patience",
        "Fairness": "fairness equality inclusivity respect",
        "Community": "cooperation friendship belonging tradition loyalty",
    },
    "Protective values": {
        "Harm prevention": "safety prevention caution protection",
        "Privacy and boundaries": "privacy consent boundaries discretion",
    },
    "Personal values": {
        "Autonomy": "autonomy independence choice freedom",
        "Growth": "growth resilience authenticity ambition",
        "Enjoyment": "playfulness humour beauty creativity",
    },
}
SHADES = [
    "client",
    "cultural",
    "emotional",
    "ethical",
    "family",
    "moral",
    "public",
    "quiet",
    "shared",
]
TASKS = [
    "Advice on relationships",
    "Writing and editing stories",
    "Planning a career",
    "Debating political questions",
    "Debugging and explaining code",
    "Health and wellbeing questions",
    "Requests that break rules",
    "Interviews about work with AI",
    "Explaining history and science",
    "Everyday planning and travel",
]
MODELS = {"claude-v1.3": 640, "gpt-4-0613": 402, "gpt-3.5-turbo": 171, "vicuna-13b": 123}


def fake_tables(labels: int = 300, min_conversations: int = 3) -> dict[str, pa.Table]:
    """All tables that the report reads, with `labels` AI values of which most have support."""
    rng = random.Random(0)
    ai = _labels("ai_values", labels, 0.26, min_conversations, rng)
    human = _labels("human_values", max(labels // 2, 1), 0.05, min_conversations, rng)
    rng.shuffle(human)
    rows = {
        "labels": [*ai, *human],
        "taxonomy": [*_tree("ai_values", ai), *_tree("human_values", human), *_tasks(rng)],
        "response_types": [*_response_types(), *_silence()],
        "associations": list(_associations(ai, human, _tree("ai_values", ai), rng)),
        "variation": list(_variation(ai, rng)),
        "mirroring": list(_mirroring()),
        "explicitness": list(_explicitness()),
        "cooccurrence": list(_cooccurrence(ai)),
        "model_comparison": list(_model_comparison(ai)),
    }
    return {name: pa.Table.from_pylist(rows[name], TABLES[name]) for name in rows}


def empty_tables() -> dict[str, pa.Table]:
    """The same tables without a row."""
    return {name: TABLES[name].empty_table() for name in fake_tables(1)}


def run_facts(**changes) -> RunFacts:
    """A run of the laptop preset over two data sets."""
    facts = {
        "title": "Values in 2,814 open conversations",
        "days": ("2026-03-01", "2026-03-14"),
        "sources": {"hh-rlhf-harmless": 1344, "anthropic-interviewer": 770, "wildchat": 700},
        "models": {**MODELS, "not stated": CONVERSATIONS - FAILED - sum(MODELS.values())},
        "note": "Support thresholds are scaled down: a label needs 3 conversations, not 15.",
        "extractor": "lexicon",
        "baseline": True,
        "totals": RunTotals(
            conversations=CONVERSATIONS,
            failed=FAILED,
            subjective=SUBJECTIVE,
            with_any={"ai_values": 1201, "human_values": 488},
            pairs={"ai_values": 3902, "human_values": 811},
        ),
        "stages": (
            StageFacts(
                number=1,
                name="conversations",
                rows_in=2861,
                rows_out=2814,
                rejected={"identical": 31, "empty_message": 16},
            ),
            StageFacts(
                number=2,
                name="extractions",
                rows_in=2814,
                rows_out=2814,
                failed={"no_transcript": 9},
            ),
            StageFacts(number=3, name="labels", rows_in=2814, rows_out=462),
            StageFacts(number=4, name="taxonomy", rows_in=462, rows_out=517),
            StageFacts(number=5, name="statistics", rows_in=2814, rows_out=4210),
        ),
        "versions": {"vitw_ray": "0.1.0", "ray": "2.60.0", "pyarrow": "26.0.1", "python": "3.11.7"},
    }
    return RunFacts(**{**facts, **changes})


def _labels(facet, wanted, top_share, min_conversations, rng):
    words = [
        word for groups in KINDS.values() for names in groups.values() for word in names.split()
    ]
    rng.shuffle(words)
    pairs = (f"{shade} {word}" for shade, word in itertools.product(SHADES, words))
    more = (f"{a} {b} {word}" for a in SHADES for b in SHADES for word in words)
    rows = []
    for rank, label in enumerate(itertools.islice(itertools.chain(words, pairs, more), wanted)):
        conversations = max(int(top_share * SUBJECTIVE / (1 + 0.35 * rank) ** 1.05), 1)
        rows.append(
            {
                "facet": facet,
                "label": label,
                "conversations": conversations,
                "accounts": None,
                "share": conversations / SUBJECTIVE,
                "kept": conversations >= min_conversations,
            }
        )
    return rows


def _tree(facet, labels):
    kept = [row for row in labels if row["kept"]]
    total = sum(row["conversations"] for row in kept)
    homes = {
        word: (top, group)
        for top, groups in KINDS.items()
        for group, names in groups.items()
        for word in names.split()
    }

    def node(level, cluster_id, parent, name, description, conversations):
        return {
            "facet": facet,
            "cluster_id": cluster_id,
            "level": level,
            "parent_cluster_id": parent,
            "name": name,
            "description": description,
            "conversations": conversations,
            "pct_total_occurrences": 100 * conversations / total,
        }

    sums, rows = {}, []
    for row in kept:
        label, word = row["label"], row["label"].split()[-1]
        top, group = homes[word]
        names = [top, group, f"{word.capitalize()} in its forms"]
        path = [
            f"{facet}:l{level}:{name.lower().replace(' ', '-')}"
            for level, name in zip((3, 2, 1), names, strict=True)
        ]
        for level, cluster_id, parent, name in zip(
            (3, 2, 1), path, [None, *path], names, strict=False
        ):
            sums.setdefault(cluster_id, [level, parent, name, 0])[3] += row["conversations"]
        rows.append(node(0, f"{facet}:l0:{label}", path[-1], label, "", row["conversations"]))
    for cluster_id, (level, parent, name, conversations) in sums.items():
        description = f"Values about {name.lower()}, as they show in what was said and done."
        rows.append(node(level, cluster_id, parent, name, description, conversations))
    return rows


def _tasks(rng):
    sizes = [rng.randint(40, 400) for _ in TASKS]
    return [
        {
            "facet": "tasks",
            "cluster_id": f"tasks:l1:{place}",
            "level": 1,
            "parent_cluster_id": None,
            "name": name,
            "description": "",
            "conversations": size,
            "pct_total_occurrences": 100 * size / sum(sizes),
        }
        for place, (name, size) in enumerate(zip(TASKS, sizes, strict=True))
    ]


def _response_types():
    shares = [0.212, 0.171, 0.088, 0.094, 0.061, 0.083, 0.291]
    groups = [(None, None, None, SUBJECTIVE)]
    groups += [(model, None, None, n) for model, n in MODELS.items()]
    groups += [(None, "tasks", f"tasks:l1:{i}", 260 - 21 * i) for i in range(len(TASKS))]
    for place, (model, over_facet, over, n) in enumerate(groups):
        lean = [1 - 0.05 * place * (0.5 - step / 3) for step in range(6)] + [1]
        whole = sum(share * weight for share, weight in zip(shares, lean, strict=True))
        for name, share, weight in zip(RESPONSE_TYPES, shares, lean, strict=True):
            conversations = round(n * share * weight / whole)
            p = conversations / n
            spread = 1.96 * (p * (1 - p) / n) ** 0.5
            yield {
                "model": model,
                "over_facet": over_facet,
                "over": over,
                "response_type": name,
                "conversations": conversations,
                "share": p,
                "low": max(p - spread, 0.0),
                "high": p + spread,
            }


def _silence():
    """488 conversations with a human value, 713 without."""
    for over, silent, treated in (("stated", 21, 467), ("none", 649, 64)):
        for kind, n in (("no_values", silent), ("mild_support", treated)):
            yield {
                "over_facet": "any_human_value",
                "over": over,
                "response_type": kind,
                "conversations": n,
                "share": n / (silent + treated),
                "low": 0.0,
                "high": 1.0,
            }


def _explicitness():
    for label, kind, explicit, implicit, residual in (
        ("honesty", None, 60, 40, 6.1),
        ("honesty", "mild_support", 20, 30, -4.0),
        ("honesty", "strong_resistance", 40, 10, 4.0),
        ("warmth", None, 0, 50, -6.1),
        ("warmth", "mild_support", 0, 50, None),
    ):
        yield {
            "label": label,
            "response_type": kind,
            "explicit": explicit,
            "implicit": implicit,
            "residual": residual,
        }


def _cooccurrence(ai):
    names = sorted(row["label"] for row in ai[:3])
    for a, b, n in ((0, 1, 40), (0, 2, 30)) if len(names) == 3 else ():
        yield {"facet": "ai_values", "label_a": names[a], "label_b": names[b], "conversations": n}


def _model_comparison(ai):
    labels = [row["label"] for row in ai if row["kept"]][:12]
    for a, b in itertools.combinations(MODELS, 2):
        matched = ("nothing", "tasks", "prompts") if b == "gpt-4-0613" else ("nothing", "tasks")
        for matched_on, (rank, label) in itertools.product(matched, enumerate(labels)):
            difference = (0.12, -0.08, 0.01)[rank % 3]
            yield {
                "groups": "models",
                "model_a": a,
                "model_b": b,
                "facet": "ai_values",
                "label": label,
                "conversations_a": MODELS[a],
                "conversations_b": MODELS[b],
                "share_a": 0.3 - 0.01 * rank + difference,
                "share_b": 0.3 - 0.01 * rank,
                "difference": difference,
                "low": difference - 0.05,
                "high": difference + 0.05,
                "p_adjusted": 0.001 if rank % 3 < 2 else 0.6,
                "matched_on": matched_on,
            }


def _associations(ai, human, tree, rng):
    columns = {
        "tasks": [f"tasks:l1:{place}" for place in range(len(TASKS))],
        "human_values": [row["label"] for row in human[:30] if row["kept"]],
        "response_types": list(RESPONSE_TYPES),
    }
    for facet, names in columns.items():
        groups = [{**row, "label": row["cluster_id"]} for row in tree if row["level"] == 3]
        for row in [*[row for row in ai if row["kept"]][:60], *groups]:
            home = rng.randrange(len(names))
            for place, column in enumerate(names):
                expected = row["conversations"] / len(names)
                factor = rng.uniform(1.8, 4.5) if place == home else rng.uniform(0.3, 1.3)
                observed = round(expected * factor)
                residual = (observed - expected) / max(expected, 0.5) ** 0.5
                known = observed > 0
                yield {
                    "row_facet": "ai_values",
                    "row": row["label"],
                    "column_facet": facet,
                    "column": column,
                    "level": row.get("level", 0),
                    "observed": observed,
                    "expected": expected,
                    "residual": residual if known else None,
                    "p_value": 0.01 if known else None,
                    "p_adjusted": 0.2 if known else None,
                    "q_value": 0.05 if known else None,
                    "odds_ratio": factor if known else None,
                    "low": factor * 0.6 if known else None,
                    "high": factor * 1.7 if known else None,
                    "q_tree": 0.01 if known and abs(residual) > 3 else None,
                    "shrunken": math.log(factor) if known else None,
                    "shrunken_low": math.log(factor * 0.6) if known else None,
                    "shrunken_high": math.log(factor * 1.7) if known else None,
                    "significant": known and abs(residual) > 3.9,
                    "discovered": known and abs(residual) > 3,
                    "reason": None if known else "expected_too_small",
                }


def _variation(ai, rng):
    for over in ("tasks", "human_values"):
        for rank, row in enumerate([row for row in ai if row["kept"]][:80]):
            spread = rng.uniform(0.15, 0.5) + 0.03 * rank
            yield {
                "facet": "ai_values",
                "label": row["label"],
                "over_facet": over,
                "share": row["share"],
                "coefficient_of_variation": spread + 0.2,
                "corrected": max(spread - 0.25, 0.0),
                "low": max(spread - 0.4, 0.0),
                "high": max(spread - 0.1, 0.05),
            }


def _mirroring():
    base = {"strong_support": 0.231, "mild_support": 0.182, "neutral_acknowledgment": 0.121}
    base |= {"reframing": 0.143, "mild_resistance": 0.061, "strong_resistance": 0.022}
    for level in (0, 1):
        for place, (name, share) in enumerate(base.items()):
            n = 96 - 11 * place
            share, chance = min(share * (1 + level), 1), 0.055 * (1 + 1.6 * level)
            spread = 1.96 * (share * (1 - share) / n) ** 0.5
            yield {
                "response_type": name,
                "level": level,
                "conversations": n,
                "mirrored": round(n * share),
                "share": share,
                "share_by_chance": chance,
                "lift": share / chance,
                "low": max(share - spread, 0.0),
                "high": share + spread,
            }


RECORD = {
    "matching": "minilm",
    "sets": [
        {
            "name": "calibration",
            "conversations": 64,
            "errors": 1,
            "scores": [
                {
                    "facet": "ai_values",
                    "measure": "F1",
                    "value": 0.314,
                    "low": 0.24,
                    "high": 0.381,
                    "lexicon": None,
                    "commonest": 0.12,
                }
            ],
        }
    ],
    "signs": [
        {
            "name": "empty_lists",
            "facet": "ai_values",
            "share": 0.75,
            "threshold": 0.2,
            "language": "z*h",
        }
    ],
}
"""How well a reader read the calibration set, as its manifest has it."""
