"""How well a reader read the calibration set, in words: for the plan, the log, the page, the card.

`extraction/health.py` makes the record that these functions take. It has counts, scores and shares,
and neither text of a conversation nor a label.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from vitw_ray.facets import FACETS

Record = Mapping[str, Any]

SIGNS: Mapping[str, str] = MappingProxyType(
    {
        "constant_level": "of the answers have the same level of subjectivity",
        "constant_side": "of the answers are on the same side of the gate",
        "constant_response": "of the subjective answers have the same response type",
        "empty_lists": "of the subjective answers have no {facet}",
        "copied_task": "of the tasks are an example of the prompt",
        "copied_label": "of the lists of {facet} hold an example of the prompt",
        "one_task": "of the tasks are the same",
        "one_label": "of the lists of {facet} hold the same label",
        "same_list": "of the lists of {facet} are the same",
        "not_english": "of the labels of {facet} are not English",
        "errors": "of the conversations failed",
    }
)
"""What a share is of, by the name of the sign."""
_CHANCE = (
    "kappa of subjective or not is {share:.2f}, and its interval reaches 0: as good as guessing"
)
_MATCHING = {
    "minilm": "two labels match if a sentence embedder finds their meanings similar",
    "spelling": "two labels match if their words are the same",
}
_SETS = {"calibration": "the calibration set", "labelled": "your labelled conversations"}


def set_name(name: str) -> str:
    """What a set of labelled conversations is called."""
    return _SETS[name]


def facet_words(facet: str) -> str:
    """`ai_values` as `AI values`, `response_type` as `response type`."""
    names = {f.field: f.plural if f.kind == "values" else f.noun for f in FACETS}
    return names.get(facet, facet)


def sign_line(sign: Mapping[str, Any]) -> str:
    """`97% of the subjective answers have no AI values (tolerated: 20%)`."""
    where = f", {sign['language']}" if sign.get("language") else ""
    if sign["name"] == "chance":
        return _CHANCE.format(share=sign["share"]) + where
    what = SIGNS[sign["name"]].format(facet=facet_words(sign["facet"]))
    return f"{sign['share']:.0%} {what} (tolerated: {sign['threshold']:.0%}){where}"


def score_line(score: Mapping[str, Any]) -> str:
    """`AI values F1 0.31 [0.24, 0.38] (lexicon 0.03, commonest 0.12)`."""
    line = f"{facet_words(score['facet'])} {score['measure']} {number(score['value'])}"
    line += f" [{number(score['low'])}, {number(score['high'])}]"
    beside = [f"{name} {number(score[name])}" for name in ("lexicon", "commonest") if name in score]
    return f"{line} ({', '.join(beside)})" if beside else line


def check_lines(record: Record) -> list[str]:
    """The record, a line per set of conversations and per sign."""
    return [*set_lines(record), *warning_lines(record)]


def warning_lines(record: Record) -> list[str]:
    """The signs of a record, each as a line of its own."""
    return [f"sign of a reader that does not read: {line}" for line in sign_lines(record)]


def set_lines(record: Record) -> list[str]:
    """The scores of a record, a line per set of conversations."""
    lines = []
    for one in record["sets"]:
        scores = "; ".join(map(score_line, one["scores"]))
        lines.append(f"{_SETS[one['name']]} ({one['conversations']}): {scores}")
    return lines


def sign_lines(record: Record) -> list[str]:
    """The signs of a record, those that concern all answers first."""
    return [sign_line(sign) for sign in sorted(record["signs"], key=_whole_first)]


def _whole_first(sign: Mapping[str, Any]) -> bool:
    return sign["language"] is not None


def matching_note(record: Record) -> str:
    """When two labels of a record count as the same."""
    return _MATCHING[record["matching"]]


def number(value: float | None) -> str:
    """A score with two decimals."""
    return "-" if value is None else f"{value:.2f}"


def stopping(record: Record) -> list[Mapping[str, Any]]:
    """Signs that concern all answers. Those of one language alone do not stop a run."""
    signs: Iterable[Mapping[str, Any]] = record["signs"]
    return [sign for sign in signs if sign["language"] is None]
