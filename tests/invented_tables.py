"""What is true of the invented conversations: the rows of every table, and the published texts."""

import math
import statistics
from collections import Counter, defaultdict
from functools import cached_property

from invented_conversations import TASKS, VARIANTS, Row

from vitw_ray.facets import RESPONSE_TYPES

MIN_CONVERSATIONS, MIN_ACCOUNTS, MIN_SALIENCE = 4, 3, 3


class Facts:
    """Which subjective conversations are in which category: sets of ids, nothing streamed."""

    def __init__(self, extractions: list[Row]) -> None:
        self.rows = {r["conversation_id"]: r for r in extractions if r["is_subjective"]}
        self.total = len(self.rows)
        self.sets: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.written: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.assignments: list[Row] = []
        for name, row in self.rows.items():
            for facet in ("ai_values", "human_values"):
                salient = (v for v in row[facet] if v["salience"] in (None, MIN_SALIENCE))
                for spelling in (item["label"] for item in salient):
                    self.written[facet, spelling].add(name)
                    self.sets[facet][VARIANTS.get(spelling, (spelling,))[0]].add(name)
            if row["response_type"] is not None:
                self.sets["response_types"][row["response_type"]].add(name)
            self.sets["models"][row["model"]].add(name)
            stated = "stated" if row["human_values"] else "none"
            self.sets["any_human_value"][stated].add(name)
            if row["task"] is not None:
                cluster = f"tasks:l1:{TASKS.index(row['task']) % 3}"
                self.assignments.append({"conversation_id": name, "cluster_id": cluster})
                self.sets["tasks"][cluster].add(name)

    @cached_property
    def labels(self) -> list[Row]:
        """The rows of `labels`."""
        rows = []
        for facet in ("ai_values", "human_values"):
            for label, ids in sorted(self.sets[facet].items()):
                accounts = {self.rows[name]["account_id"] for name in ids} - {None}
                enough = len(ids) >= MIN_CONVERSATIONS and len(accounts) >= MIN_ACCOUNTS
                row = {"facet": facet, "label": label, "conversations": len(ids)}
                row |= {"accounts": len(accounts), "share": len(ids) / self.total, "kept": enough}
                rows.append(row)
        return rows

    def merge_rows(self) -> list[Row]:
        return [
            {
                "facet": "ai_values",
                "variant": variant,
                "label": label,
                "rule": rule,
                "conversations": len(self.written["ai_values", variant]),
            }
            for variant, (label, rule) in VARIANTS.items()
        ]

    def taxonomy(self) -> list[Row]:
        """Three levels of values, two of tasks."""
        rows = []
        for facet in ("ai_values", "human_values"):
            kept = [r for r in self.labels if r["facet"] == facet and r["kept"]]
            for n, row in enumerate(kept):
                parent, size = f"{facet}:l1:{n % 2}", row["conversations"]
                rows.append(node(facet, row["label"], 0, parent, row["label"], size))
            for n, letter in enumerate("AB"):
                size, name = sum(row["conversations"] for row in kept[n::2]), f"{facet}:l1:{n}"
                rows.append(node(facet, name, 1, f"{facet}:l2:0", f"group {letter}", size))
            size = sum(row["conversations"] for row in kept)
            rows.append(node(facet, f"{facet}:l2:0", 2, None, "everything", size))
        sizes = [len(self.sets["tasks"][f"tasks:l1:{n}"]) for n in range(3)]
        for n, letter in enumerate("ABC"):
            above, title = f"tasks:l2:{n % 2}", f"jobs {letter}"
            rows.append(node("tasks", f"tasks:l1:{n}", 1, above, title, sizes[n]))
        for n, letter in enumerate("AB"):
            size = sum(sizes[n::2])
            rows.append(node("tasks", f"tasks:l2:{n}", 2, None, f"work {letter}", size))
        totals: Counter[tuple[str, int]] = Counter()
        for row in rows:
            totals[row["facet"], row["level"]] += row["conversations"]
        for row in rows:
            total = totals[row["facet"], row["level"]]
            row["pct_total_occurrences"] = 100 * row["conversations"] / total
        return rows

    def climb(self, taxonomy: list[Row]) -> None:
        """Give every cluster the conversations of its members."""
        for row in sorted(taxonomy, key=lambda row: row["level"]):
            facet, parent = row["facet"], row["parent_cluster_id"]
            if parent is not None:
                self.sets[facet][parent] |= self.sets[facet][row["cluster_id"]]

    def names(self, facet: str, level: int = 0) -> list[str]:
        """Kept labels, or the clusters of a level; for tasks, level 0 is the lowest they have."""
        if facet == "response_types":
            return list(RESPONSE_TYPES)
        if level == 0 and facet != "tasks":
            return [r["label"] for r in self.labels if r["facet"] == facet and r["kept"]]
        return sorted(name for name in self.sets[facet] if f":l{level or 1}:" in name)

    def association_rows(self) -> list[Row]:
        """AI values and their clusters, against human values, tasks and response types."""
        return [
            self.cell(level, name, facet, column, len(self.names("ai_values", level)))
            for level in range(3)
            for facet in ("human_values", "tasks", "response_types")
            for name in self.names("ai_values", level)
            for column in self.names(facet)
        ]

    def cell(self, level: int, name: str, facet: str, column: str, comparisons: int) -> Row:
        """One row of `associations`, by the chi-square of its 2 x 2 table."""
        left, right = self.sets["ai_values"][name], self.sets[facet][column]
        a, b, c = len(left & right), len(left - right), len(right - left)
        d = self.total - a - b - c
        row = {"row_facet": "ai_values", "row": name, "column_facet": facet, "column": column}
        row |= {"level": level, "observed": a, "significant": False, "discovered": False}
        margins = (a + b) * (c + d) * (a + c) * (b + d)
        if not margins:
            return row | {"reason": "column_never"}
        excess = a * d - b * c
        residual = math.copysign(math.sqrt(self.total * excess**2 / margins), excess)
        p = math.erfc(abs(residual) / math.sqrt(2))
        log = math.log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))
        half = 1.959963984540054 * math.sqrt(sum(1 / (x + 0.5) for x in (a, b, c, d)))
        adjusted = min(1.0, p * comparisons)
        return row | {
            "expected": (a + b) * (a + c) / self.total,
            "residual": residual,
            "p_value": p,
            "p_adjusted": adjusted,
            "q_value": adjusted,
            "q_tree": adjusted if adjusted <= 0.2 else None,
            **shrunken(a, a + b, a + c, self.total),
            "odds_ratio": math.exp(log),
            "low": math.exp(log - half),
            "high": math.exp(log + half),
            "cramers_v": abs(residual) / math.sqrt(self.total),
            "residual_by_account": residual / 2 if adjusted < 0.05 else None,
            "significant": adjusted < 0.05,
            "discovered": adjusted <= 0.05,
        }

    def response_type_rows(self) -> list[Row]:
        """Over all, for one model, and for the tasks' clusters."""
        tasks, models, types = (self.sets[f] for f in ("tasks", "models", "response_types"))
        everybody = set().union(*types.values())
        groups = [(None, None, None, everybody), ("model-a", None, None, models["model-a"])]
        groups += [(None, "tasks", name, tasks[name]) for name in self.names("tasks")]
        stated = self.sets["any_human_value"]
        groups += [(None, "any_human_value", name, stated[name]) for name in ("stated", "none")]
        return [
            {"model": model, "over_facet": facet, "over": over, "response_type": kind}
            | shares("conversations", len(ids & types[kind]), len(ids & everybody))
            for model, facet, over, ids in groups
            for kind in RESPONSE_TYPES
        ]

    def mirroring_rows(self) -> list[Row]:
        """The same label on both sides, or the cluster that the AI's label of that name is in."""
        ai, human = self.sets["ai_values"], self.sets["human_values"]
        stated, shown = self.names("human_values"), self.names("ai_values")
        speakers = set().union(*(human[label] for label in stated))
        rows = []
        for level in range(3):
            ids = ["", "ai_values:l1:{}", "ai_values:l2:0"]
            twin = {label: ids[level].format(n % 2) or label for n, label in enumerate(shown)}
            same = set().union(*(human[x] & ai[twin[x]] for x in stated if x in twin))
            for kind in RESPONSE_TYPES:
                all_ = speakers & self.sets["response_types"][kind]
                row = {"response_type": kind, "level": level, "conversations": len(all_)}
                row |= shares("mirrored", len(all_ & same), len(all_))
                row |= {"share_by_chance": 0.25, "lift": row["share"] and row["share"] / 0.25}
                row |= {f"lift_{end}": row[end] and row[end] / 0.25 for end in ("low", "high")}
                rows.append(row)
        return rows

    def corrected_rows(self) -> list[Row]:
        """Shares of the kept AI values, of which only the first was reviewed often enough.

        And the odds ratio of a cluster and a task.
        """
        rows = []
        for place, label in enumerate(self.names("ai_values")):
            raw = len(self.sets["ai_values"][label]) / self.total
            row = {"measure": "share", "facet": "ai_values", "level": 0, "label": label, "raw": raw}
            told = {"corrected": raw / 2, "low": raw / 4, "high": raw, "reviewed": 30}
            rows.append(row | ({"reviewed": 2, "reason": "few_reviewed"} if place else told))
        cluster, task = (self.names(facet, 1)[0] for facet in ("ai_values", "tasks"))
        odds = {"measure": "odds_ratio", "level": 1, "label": cluster, "over": task, "raw": 1.5}
        return [*rows, rows[-1] | odds | {"over_facet": "tasks"}]

    def variation_rows(self) -> list[Row]:
        """How kept labels vary over tasks, and AI values over human values."""
        pairs = [("ai_values", "tasks"), ("human_values", "tasks"), ("ai_values", "human_values")]
        rows = []
        for facet, over in pairs:
            columns = [self.sets[over][name] for name in self.names(over)]
            for label in self.names(facet):
                mine = self.sets[facet][label]
                parts = [len(mine & column) / len(column) for column in columns if column]
                cv = statistics.pstdev(parts) / statistics.fmean(parts) if any(parts) else None
                row = {"facet": facet, "label": label, "over_facet": over, "corrected": None}
                row |= {"share": len(mine) / self.total, "coefficient_of_variation": cv}
                rows.append(row)
        return rows


def shrunken(both: int, row: int, column: int, total: int) -> Row:
    """Log odds with a prior of five conversations on both sides, and why there are none."""
    if both < 5 and row * column / total < 5:
        return {"reason": "few_conversations"}
    share = row / total
    sides = [(both, column), (row - both, total - column)]
    odds = [(hits + 5, size - hits + 5 / share - 5) for hits, size in sides]
    log = math.log(odds[0][0] * odds[1][1] / odds[0][1] / odds[1][0])
    half = 1.959963984540054 * math.sqrt(sum(1 / x for side in odds for x in side))
    ends = {"shrunken_low": log - half, "shrunken_high": log + half}
    return {"shrunken": log, **ends, "reason": None}


def node(facet: str, name: str, level: int, parent: str | None, title: str, size: int) -> Row:
    """One row of `taxonomy`, its percentage to come."""
    row = {"facet": facet, "cluster_id": name, "level": level, "parent_cluster_id": parent}
    text = f"What {title} is about" if level else ""
    return row | {"name": title, "description": text, "conversations": size}


def shares(column: str, hits: int, total: int) -> Row:
    """A count, its share and the Wilson interval, as the roots of its quadratic equation."""
    if total == 0:
        return {column: 0, "share": None, "low": None, "high": None}
    p, z2 = hits / total, 1.959963984540054**2
    a, b, c = 1 + z2 / total, -(2 * p + z2 / total), p * p
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    low = 0.0 if hits == 0 else (-b - root) / (2 * a)
    high = 1.0 if hits == total else (-b + root) / (2 * a)
    return {column: hits, "share": p, "low": low, "high": high}


def texts(labels: list[Row], taxonomy: list[Row]) -> dict[str, str]:
    """The page and the release."""
    values = [row for row in labels if row["facet"] == "ai_values" and row["kept"]]
    nodes = [row for row in taxonomy if row["facet"] == "ai_values"]
    columns = ("cluster_id", "description", "name", "level", "parent_cluster_id")
    tree = [
        ",".join("" if row[name] is None else str(row[name]) for name in columns)
        + f",{row['pct_total_occurrences']:.3f}\n"
        for row in nodes
    ]
    page = "<!doctype html><html><a href='https://arxiv.org/abs/2504.15236'>the paper</a></html>"
    return {
        "report.html": page,
        "values_frequencies.csv": "value,pct_convos\n"
        + "".join(f"{row['label']},{100 * row['share']:.3f}\n" for row in values),
        "values_tree.csv": ",".join(columns) + ",pct_total_occurrences\n" + "".join(tree),
        "README.md": "# Invented values\n",
    }
