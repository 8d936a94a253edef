"""What labels show, as lines for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from vitw_ray.evaluation.review.alternative import RECOMMENDED_LABELLERS
from vitw_ray.wording import UNKNOWN, count, decimal, facet_name, first_up, plain

LEFT, CELL = 34, 21
FACETS = {
    "is_subjective": "subjective or not",
    "subjectivity": "level of subjectivity",
    "response_type": "response type",
    "response_group": "response type, three classes",
}
WAYS = {"exact": "same words", "normalised": "same but for spelling"}
MEASURES = {"same": "same answer", "kappa": "kappa", "f1": "F1"}
NARROW = 7  # columns of a cell of a confusion matrix


def lines(score: Mapping[str, Any]) -> Iterator[str]:
    """The table of `score.json`."""
    yield (
        f"{count(score['labelled'])} of {count(score['drawn'])} drawn conversations are labelled;"
        f" all numbers are weighted to the {count(score['population'])} of the run"
    )
    for one in score["labellers"]:
        yield f"  {one['name']}: {count(one['labelled'])} labelled, {count(one['skipped'])} skipped"
    if score["ties"]:
        named = (f"{_facet(name)} {count(n)}" for name, n in score["ties"].items())
        yield f"  votes were equal, and a coin decided: {', '.join(named)}"
    yield ""
    yield from _closed(score)
    yield from _lists(score)
    yield from _gate(score["reader"]["gate"])
    yield from _confusion(score["reader"]["confusion"])
    yield from _alternative(score["alternative_test"])
    yield from _more(score["more_labels"])


def _closed(score: Mapping[str, Any]) -> Iterator[str]:
    people, reader = score["people"], score["reader"]
    yield _row("", "people: alpha", "reader: same answer", "reader: kappa")
    for name, title in FACETS.items():
        found = reader["closed"].get(name, {})
        yield _row(
            title,
            _number(people["alpha"].get(name)),
            _number(found.get("same")),
            _number(found.get("kappa")),
        )
    yield ""
    for pair in people["pairs"]:
        if pair["conversations"]:
            yield _row(
                f"{pair['first']} and {pair['second']}"[: LEFT - 1],
                "same answer",
                "kappa",
                f"of {count(pair['conversations'])}",
            )
            for name, title in FACETS.items():
                found = pair["closed"][name]
                yield _row(f"  {title}", _number(found["same"]), _number(found["kappa"]))
            yield ""


def _lists(score: Mapping[str, Any]) -> Iterator[str]:
    pairs = [pair for pair in score["people"]["pairs"] if pair["conversations"]]
    for facet, ways in score["reader"]["lists"].items():
        yield _row(first_up(facet_name(facet)), "people: F1", "reader: F1", "recall", "precision")
        for way, found in ways.items():
            each = [pair["lists"][facet][way]["f1"]["value"] for pair in pairs]
            known = [value for value in each if value is not None]
            mean = decimal(sum(known) / len(known)) if known else UNKNOWN
            yield _row(
                f"  {WAYS.get(way, 'same ' + plain(way) + ' of the tree')}",
                mean,
                *(_number(found[name]) for name in ("f1", "recall", "precision")),
            )
        yield ""


def _gate(gate: Mapping[str, Any]) -> Iterator[str]:
    titles = {
        "sensitivity": "subjective, and found so",
        "specificity": "not subjective, and found so",
        "wrong": "on the wrong side of the gate",
    }
    yield _row("The reader's gate", "share")
    for name, title in titles.items():
        yield _row(f"  {title}", _number(gate.get(name)))
    yield ""


def _confusion(tables: Mapping[str, Any]) -> Iterator[str]:
    for name in ("subjectivity", "response_type"):
        if table := tables[name]:
            yield f"{first_up(FACETS[name])}: people by rows, the reader by columns, conversations"
            names = [plain(category) for category in table["categories"]]
            yield f"{'':<{LEFT - 6}}" + "".join(f"{n:>{NARROW}}" for n in range(1, len(names) + 1))
            for number, row in enumerate(table["conversations"], 1):
                cells = "".join(f"{count(cell):>{NARROW}}" for cell in row)
                yield f"  {number} {names[number - 1]:<{LEFT - 10}}" + cells
            yield ""


def _alternative(tests: Mapping[str, Any]) -> Iterator[str]:
    epsilon = next(iter(tests.values()))["epsilon"]
    yield _row(f"May it replace a person? (e {epsilon})", "", "labellers it beats", "advantage")
    few = 0
    for name, test in tests.items():
        if test["reason"]:
            yield f"{'  ' + _facet(name):<{LEFT}}{'':>5}{test['reason']}"
            continue
        few = min(few or len(test["duels"]), len(test["duels"]))
        passed = sum(duel["passed"] for duel in test["duels"])
        yield _row(
            f"  {_facet(name)}",
            "yes" if test["replaces"] else "no",
            f"{passed} of {len(test['duels'])}",
            decimal(test["advantage"]),
        )
    if few and few < RECOMMENDED_LABELLERS:
        yield f"  with {few} labellers this is less reliable; {RECOMMENDED_LABELLERS} are advised"
    yield ""


def _more(more: Mapping[str, Any]) -> Iterator[str]:
    wide = LEFT + CELL - 1
    heading = f"For intervals of +-{more['precision']:g}"
    yield f"{heading:<{wide}}" + _cells("now +-", "needed", "more labels")
    for name, found in more["by_measure"].items():
        facet, _, measure = name.rpartition(" ")
        title = f"  {_facet(facet)}: {MEASURES[measure]}"
        cells = decimal(found["half_width"], 3), count(found["needed"]), count(found["more"])
        yield f"{title:<{wide}}" + _cells(*cells)
    yield ""


def _facet(name: str) -> str:
    return FACETS.get(name) or facet_name(name)


def _number(found: Mapping[str, Any] | None) -> str:
    """`0.81 (0.70, 0.90)`."""
    if found is None or found["value"] is None:
        return UNKNOWN
    if found["low"] is None:
        return decimal(found["value"])
    return f"{decimal(found['value'])} ({decimal(found['low'])}, {decimal(found['high'])})"


def _row(name: str, *cells: str) -> str:
    return f"{name:<{LEFT}}" + _cells(*cells)


def _cells(*cells: str) -> str:
    return "".join(f"{cell:>{CELL}}" for cell in cells)
