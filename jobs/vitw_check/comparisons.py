"""Models compared, and periods in their place: shares and differences, counted again."""

from collections import Counter, defaultdict
from itertools import combinations
from typing import Any

from .intervals import newcombe
from .problems import Problems, differ, off
from .reading import Row
from .recounting import CheckedRun, period_of

MOST_MODELS = 50  # beyond, only the largest are compared
KEY = ("groups", "model_a", "model_b", "facet", "label", "matched_on")
ROUNDING = 1e-12  # a difference of 0 may be off by this
FACETS = ("ai_values", "human_values", "response_types", "tasks")
Member = tuple[str, str]  # facet, label


class Tallies:
    """Conversations of each group and task, and those of them that hold each label."""

    def __init__(self, run: CheckedRun) -> None:
        self.sizes: dict[tuple[str, str], Counter[str | None]] = defaultdict(Counter)
        self.held: dict[tuple[str, str, Member], Counter[str | None]] = defaultdict(Counter)
        self.run, self.accounts = run, run.cell_accounts()
        self.answers: dict[str, dict[str, tuple[str, set[Member]]]] = defaultdict(dict)
        period = run.setting("statistics", "period")
        for row in run.subjective():
            members = members_of(run, row)
            for kind, group in (("models", row["model"]), ("periods", period_of(row, period))):
                if group is not None:
                    self.sizes[kind, group][row["cluster"]] += 1
                    cells = [(kind, group), *((kind, group, member) for member in members)]
                    self.accounts.count(row["account_id"], cells)
                    for member in members:
                        self.held[kind, group, member][row["cluster"]] += 1
            if row["prompt_id"] is not None and row["model"] is not None:
                answers = self.answers[row["prompt_id"]]
                mine = (row["conversation_id"], members)
                if mine[0] <= answers.get(row["model"], mine)[0]:
                    answers[row["model"]] = mine

    def expected(self, row: Row, paired: dict) -> dict[str, Any]:
        """What a row must say of its sizes and shares."""
        member, matched = (row["facet"], row["label"]), row["matched_on"]
        sides = [(row["groups"], row[name]) for name in ("model_a", "model_b")]
        if matched == "prompts":
            n, shown = paired[row["model_a"], row["model_b"]]
            hits = [sum(member in both[side] for both in shown) for side in (0, 1)]
            return {"n_a": n, "n_b": n, "share_a": hits[0] / n, "share_b": hits[1] / n}
        sizes = [self.sizes[side] for side in sides]
        held = [self.held[(*side, member)] for side in sides]
        if matched == "nothing":
            n_a, n_b = (sum(size.values()) for size in sizes)
            a, b = (sum(h.values()) for h in held)
            return {"n_a": n_a, "n_b": n_b, "share_a": a / n_a, "share_b": b / n_b}
        met = [task for task in sizes[0] if sizes[0][task] >= 2 and sizes[1][task] >= 2]
        n_a, n_b = (sum(size[task] for task in met) for size in sizes)
        shares = [
            sum((sizes[0][t] + sizes[1][t]) / (n_a + n_b) * h[t] / size[t] for t in met)
            for h, size in zip(held, sizes, strict=True)
        ]
        return {"n_a": n_a, "n_b": n_b, "share_a": shares[0], "share_b": shares[1]}

    def few_accounts(self, row: Row, hits: tuple[int, int]) -> bool:
        """Whether a label is of too few accounts of a side, or a period is."""
        kind, member = row["groups"], (row["facet"], row["label"])
        sides = [(kind, row[name]) for name in ("model_a", "model_b")]
        few = self.accounts.few
        return any(n and few((*side, member)) for side, n in zip(sides, hits, strict=True)) or (
            kind == "periods" and any(few(side) for side in sides)
        )

    def models(self) -> list[str]:
        """The models that are compared, with the conversations that suffice."""
        sizes = {name: n.total() for (kind, name), n in self.sizes.items() if kind == "models"}
        small = {name for name, n in sizes.items() if self.run.is_small(n)}
        return sorted(sizes.keys() - small - {"other"})

    def surely_shown(self) -> set[Member]:
        """Labels that nothing hides: of no model, nor of the others, too few conversations hold it.

        Tasks and response types are left out: they may be hidden beside each other.
        """
        held: dict[Member, dict[str, int]] = defaultdict(dict)
        for (kind, group, member), n in self.held.items():
            if kind == "models" and member[0] in ("ai_values", "human_values"):
                held[member][group] = n.total()
        return {
            member
            for member, groups in held.items()
            if not self.run.is_small(*groups.values())
            and not any(
                n and group != "other" and self.accounts.few(("models", group, member))
                for group, n in groups.items()
            )
        }

    def pairs(self) -> dict[tuple[str, str], tuple[int, list[tuple[set[Member], set[Member]]]]]:
        """Prompts that two models both answered, and what each showed there, in both orders."""
        found: dict[tuple[str, str], list] = defaultdict(list)
        for answers in self.answers.values():
            for a, b in combinations(sorted(answers), 2):
                found[a, b].append((answers[a][1], answers[b][1]))
                found[b, a].append((answers[b][1], answers[a][1]))
        return {pair: (len(shown), shown) for pair, shown in found.items()}


def members_of(run: CheckedRun, row: Row) -> set[Member]:
    """Labels of all facets and the clusters above AI values that a conversation holds."""
    found = {(facet, name) for facet in FACETS for name in run.members(row, facet)}
    for label in run.members(row, "ai_values"):
        found |= {("ai_values", name) for name in run.above.get(("ai_values", label), ())}
    return found


def turned(where: str, row: Row, apart: dict[tuple, float]) -> Problems:
    """Whether matching turns the sign; `apart` collects what it is without."""
    cell = tuple(row[name] for name in KEY[:-1])
    if row["matched_on"] == "nothing":
        apart[cell] = row["difference"]
    signs = row["difference"] * apart.get(cell, 0.0)
    wanted = None if row["matched_on"] == "nothing" else signs < 0
    if row["turned"] is not wanted and (wanted is None or abs(signs) > ROUNDING):
        yield f"{where}: turned {row['turned']}"


def check_model_comparison(run: CheckedRun) -> Problems:
    """Sizes, shares and plain intervals of every two models and periods, recounted."""
    tallies = Tallies(run)
    paired, seen = tallies.pairs(), set()
    compared: set[tuple[str, frozenset[str], Member]] = set()
    apart: dict[tuple, float] = {}  # differences without matching, which stand before the others
    for number, row in enumerate(run.rows("model_comparison")):
        where = f"row {number}"
        cell = tuple(row[name] for name in KEY)
        if cell in seen:
            yield f"{where}: the same comparison a second time"
        seen.add(cell)
        if row["matched_on"] == "nothing":
            pair = frozenset((row["model_a"], row["model_b"]))
            compared.add((row["groups"], pair, (row["facet"], row["label"])))
        expected = tallies.expected(row, paired)
        for side in ("a", "b"):
            stated = row[f"conversations_{side}"]
            yield from off(f"{where}: conversations_{side}", stated, expected.pop(f"n_{side}"))
        expected["difference"] = expected["share_a"] - expected["share_b"]
        if row["matched_on"] == "nothing":
            sizes = [row[f"conversations_{side}"] for side in "ab"]
            hits = [round(row[f"share_{s}"] * n) for s, n in zip("ab", sizes, strict=True)]
            if run.is_small(*hits, *sizes):
                yield f"{where}: too few conversations to be public"
            if tallies.few_accounts(row, (hits[0], hits[1])):
                yield f"{where}: too few accounts to be public"
            ends = newcombe(hits[0], sizes[0], hits[1], sizes[1])
            expected |= dict(zip(("low", "high"), ends, strict=True))
        yield from differ(where, row, expected)
        yield from turned(where, row, apart)
        if row["p_adjusted"] is not None and not 0 <= row["p_adjusted"] <= 1:
            yield f"{where}: p_adjusted {row['p_adjusted']}"
    yield from _not_compared(tallies, compared)


def _not_compared(tallies: Tallies, compared: set[tuple[str, frozenset[str], Member]]) -> Problems:
    """Labels that two models are not compared by, though nothing hides them."""
    models = tallies.models()
    if len(models) > MOST_MODELS:
        return
    shown = tallies.surely_shown()
    wanted = {
        ("models", frozenset(pair), member)
        for pair in combinations(models, 2)
        for member in shown
        if any(tallies.held["models", name, member] for name in pair)
    }
    if missing := len(wanted - compared):
        yield f"{missing} labels that two models may be compared by have no row"
