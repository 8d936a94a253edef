"""What is true of the invented conversations' pairs: of labels, of models, of said and shown."""

import math
from itertools import combinations, pairwise, product

from invented_conversations import VARIANTS, Row
from invented_tables import MIN_SALIENCE, Facts, shares, shrunken

from vitw_ray.facets import RESPONSE_TYPES

FACETS = ("ai_values", "human_values", "response_types", "tasks")


def cooccurrence_rows(facts: Facts) -> list[Row]:
    """Two kept labels of a facet in one conversation."""
    return [
        {"facet": facet, "label_a": a, "label_b": b, "conversations": len(ids)}
        for facet in ("ai_values", "human_values")
        for a, b in combinations(sorted(facts.names(facet)), 2)
        if (ids := facts.sets[facet][a] & facts.sets[facet][b])
    ]


def said(facts: Facts, label: str) -> set[str]:
    """Conversations in which the assistant says a label outright."""
    return {
        name
        for name, row in facts.rows.items()
        for item in row["ai_values"]
        if item["explicit"]
        and (item["salience"] is None or item["salience"] >= MIN_SALIENCE)
        and VARIANTS.get(item["label"], (item["label"],))[0] == label
    }


def explicitness_rows(facts: Facts) -> list[Row]:
    """Labels over all response types and by each."""
    kinds, labels = facts.sets["response_types"], facts.names("ai_values")
    told = {label: said(facts, label) for label in labels}
    shown = {label: facts.sets["ai_values"][label] for label in labels}
    rows = []
    everything = sum(map(len, told.values())), sum(map(len, shown.values()))
    for label in labels:
        answered = set().union(*kinds.values())
        whole = len(told[label] & answered), len(shown[label] & answered)
        for kind in (None, *RESPONSE_TYPES):
            here = facts.rows.keys() if kind is None else kinds[kind]
            a, b = len(told[label] & here), len(shown[label] & here)
            z = residual(a, b, *(everything if kind is None else whole))
            row = {"label": label, "response_type": kind, "explicit": a, "implicit": b - a}
            rows.append(row | {"residual": z})
    return rows


def task_value_rows(facts: Facts) -> list[Row]:
    """Labels within the tasks' clusters, by response type."""
    kinds, labels, tasks = (facts.sets[f] for f in ("response_types", "ai_values", "tasks"))
    rows = []
    for task in facts.names("tasks"):
        for kind, label in product(RESPONSE_TYPES, facts.names("ai_values")):
            here, shown = tasks[task] & kinds[kind], tasks[task] & labels[label]
            if here & shown:
                margins = len(shown), len(here), len(tasks[task])
                rows.append(
                    {"task_cluster": task, "response_type": kind, "level": 0, "value": label}
                    | shares("conversations", len(here & shown), len(here))
                    | shrunken(len(here & shown), *margins)
                )
    return rows


def residual(both: int, row: int, column: int, n: int) -> float | None:
    """Signed root of the chi-square of a 2 x 2 table."""
    a, b, c = both, row - both, column - both
    d = n - a - b - c
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if not margins:
        return None
    return math.copysign(math.sqrt(n * (a * d - b * c) ** 2 / margins), a * d - b * c)


def model_comparison_rows(facts: Facts) -> list[Row]:
    """Two models on nothing, on tasks and on prompts; each week with the one before."""
    models = {name: ids for name, ids in facts.sets["models"].items() if name is not None}
    weeks: dict[str, set[str]] = {}
    for name, row in facts.rows.items():
        if row["created_at"] is not None:
            weeks.setdefault(row["created_at"].strftime("%G-W%V"), set()).add(name)
    a, b = sorted(models)
    rows = [*plain("models", (a, models[a]), (b, models[b]), facts)]
    rows += on_tasks((a, models[a]), (b, models[b]), facts)
    rows += on_prompts((a, models[a]), (b, models[b]), facts)
    ordered = sorted(weeks)
    for early, late in pairwise(ordered):
        rows += plain("periods", (late, weeks[late]), (early, weeks[early]), facts)
    apart = {}
    for row in rows:
        cell = tuple(row[name] for name in ("groups", "model_a", "model_b", "facet", "label"))
        if row["matched_on"] == "nothing":
            apart[cell] = row["difference"]
        else:
            row["turned"] = row["difference"] * apart.get(cell, 0.0) < 0
    return rows


def row_of(groups: str, a: str, b: str, member: tuple[str, str], sizes, shares_, matched) -> Row:
    return {
        "groups": groups,
        "model_a": a,
        "model_b": b,
        "facet": member[0],
        "label": member[1],
        "conversations_a": sizes[0],
        "conversations_b": sizes[1],
        "share_a": shares_[0],
        "share_b": shares_[1],
        "difference": shares_[0] - shares_[1],
        "low": shares_[0] - shares_[1] - 0.01,
        "high": shares_[0] - shares_[1] + 0.01,
        "p_adjusted": 1.0,
        "matched_on": matched,
    }


def members(facts: Facts):
    labels = [(facet, label) for facet in FACETS for label in facts.names(facet)]
    clusters = [("ai_values", name) for level in (1, 2) for name in facts.names("ai_values", level)]
    return labels + clusters


def plain(groups, first, second, facts: Facts):
    (a, in_a), (b, in_b) = first, second
    for member in members(facts):
        ids = facts.sets[member[0]][member[1]]
        hits = len(ids & in_a), len(ids & in_b)
        if any(hits):
            left, right = shares("n", hits[0], len(in_a)), shares("n", hits[1], len(in_b))
            sizes, both = (len(in_a), len(in_b)), (left["share"], right["share"])
            row = row_of(groups, a, b, member, sizes, both, "nothing")
            below = math.hypot(left["share"] - left["low"], right["high"] - right["share"])
            above = math.hypot(left["high"] - left["share"], right["share"] - right["low"])
            yield row | {"low": row["difference"] - below, "high": row["difference"] + above}


def on_tasks(first, second, facts: Facts):
    (a, in_a), (b, in_b) = first, second
    tasks = [facts.sets["tasks"][name] for name in facts.names("tasks")]
    tasks.append(facts.rows.keys() - set().union(*tasks))
    met = [task for task in tasks if len(task & in_a) > 1 and len(task & in_b) > 1]
    sizes = [sum(len(task & side) for task in met) for side in (in_a, in_b)]
    for facet, label in (m for m in members(facts) if m[0] != "tasks"):
        ids = facts.sets[facet][label]
        standard = [
            sum(
                len(ids & task & side) / len(task & side) * len(task & (in_a | in_b)) / sum(sizes)
                for task in met
            )
            for side in (in_a, in_b)
        ]
        yield row_of("models", a, b, (facet, label), sizes, standard, "tasks")


def on_prompts(first, second, facts: Facts):
    (a, in_a), (b, in_b) = first, second
    answers = [{}, {}]
    for side, ids in enumerate((in_a, in_b)):
        for name in sorted(ids):
            prompt = facts.rows[name]["prompt_id"]
            if prompt is not None:
                answers[side].setdefault(prompt, name)
    shared = answers[0].keys() & answers[1].keys()
    for facet, label in (m for m in members(facts) if m[0] in ("ai_values", "response_types")):
        ids = facts.sets[facet][label]
        hits = [sum(side[prompt] in ids for prompt in shared) for side in answers]
        if any(hits):
            sizes = (len(shared), len(shared))
            both = [n / len(shared) for n in hits]
            yield row_of("models", a, b, (facet, label), sizes, both, "prompts")
