"""The page that people label on: one HTML file that works from disk and loads nothing.

It holds the drawn conversations, the rules and the values to choose from; of what the reader said
about a conversation it holds nothing. All text is data in a block of JSON that cannot end early,
and reaches the page as text alone. The content security policy allows this one script and this one
style sheet, by their hashes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vitw_ray.alphabet import LABEL
from vitw_ray.errors import OutputError
from vitw_ray.evaluation.review.reviewed_run import ReviewedRun
from vitw_ray.extraction.questions import LONG, PROMPTS
from vitw_ray.facets import BY_NAME, RESPONSE_TYPES, VALUE_FACETS
from vitw_ray.inference.transcript import transcript
from vitw_ray.marks import ROLE_MARKERS, has_words
from vitw_ray.records import Message
from vitw_ray.report.html import policy_source
from vitw_ray.wording import facet_name, first_up, plain

TEMPLATES = Path(__file__).parent / "templates"
MOST_TOKENS = 25_000  # ours: of a conversation on the page; the middle of longer ones is cut
RESPONSE_KEYS = "asdfghj"  # the middle row of the keyboard, in the order of the types
FORMAT = "vitw-review-labels"
DEFINED = ("subjectivity", "response_type", "ai_values", "human_values")


def render(
    manifest: Mapping[str, Any],
    conversations: Sequence[Mapping[str, Any]],
    values: Mapping[str, Sequence[str]],
    subjective_from: int,
) -> str:
    """The whole page, UTF-8; the same text for the same arguments.

    Args:
        manifest: of the sample.
        conversations: id, labeller and turns of each, in the order in which they are shown.
        values: by value facet, the labels to choose from.
        subjective_from: lowest level from which the other facets are asked.
    """
    data = {
        "format": FORMAT,
        "sample": manifest["sample"],
        "name": manifest["name"],
        "subjectiveFrom": subjective_from,
        "labellers": manifest["labellers"],
        "responseTypes": [
            {"code": code, "name": plain(code), "key": key}
            for code, key in zip(RESPONSE_TYPES, RESPONSE_KEYS, strict=True)
        ],
        "valueFacets": [
            {"field": f, "name": first_up(facet_name(f)), "most": BY_NAME[f].most}
            for f in VALUE_FACETS
        ],
        "values": {facet: sorted(labels) for facet, labels in values.items()},
        "label": f"^{LABEL}$",
        "conversations": list(conversations),
    }
    script, style = (TEMPLATES.joinpath(n).read_text("utf-8") for n in ("label.js", "label.css"))
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("label.html").render(
        script=Markup(script),
        style=Markup(style),
        script_source=policy_source(script),
        style_source=policy_source(style),
        data=Markup(json_block(data)),
        rules=rules(),
        levels=range(1, 5),
        subjective_from=subjective_from,
        response_types=data["responseTypes"],
        value_facets=data["valueFacets"],
        labellers=manifest["labellers"],
    )


def json_block(value: Any) -> str:
    """JSON that holds no `<`, `>` or `&`, so that it can neither end its block nor start another.

    All that is not ASCII is escaped too, lone surrogates and line separators included.
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def turns_of(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """What the page shows of a conversation: what a reader is given, in a larger budget."""
    shown = transcript([Message(m["role"], m["content"]) for m in messages], MOST_TOKENS)  # type: ignore[arg-type]
    return [
        {"role": m.role, "text": ROLE_MARKERS.get(m.role, m.content)}
        for m in shown.messages
        if m.content or m.role not in ROLE_MARKERS
    ]


def has_answer(turns: Sequence[Mapping[str, str]]) -> bool:
    """Whether the assistant says anything; else there is no response to be judged."""
    return any(turn["role"] == "assistant" and has_words(turn["text"]) for turn in turns)


def vocabulary(run: ReviewedRun) -> dict[str, list[str]]:
    """By value facet, the labels of the run with enough support, to choose from."""
    found: dict[str, list[str]] = {facet: [] for facet in VALUE_FACETS}
    try:
        labels = run.table("labels", ("facet", "label", "kept")).arrow.to_pylist()
    except OutputError:  # a run that ended after `extractions`: free entry alone
        return found
    for row in labels:
        if row["kept"] and row["facet"] in found:
            found[row["facet"]].append(row["label"])
    return found


def rules() -> list[dict[str, Any]]:
    """The definitions that readers are given: a heading, and paragraphs."""
    found = []
    for field in DEFINED:
        text = (PROMPTS / LONG / f"{field}.md").read_text("utf-8").replace("`", "")
        heading, _, definition = text.partition(":")
        paragraphs = _paragraphs(definition.strip())
        found.append({"field": field, "heading": first_up(plain(heading)), "text": paragraphs})
    return found


def _paragraphs(text: str) -> list[str]:
    """Lines of a prompt as sentences and items: an item starts a paragraph of its own."""
    paragraphs: list[str] = []
    for line in first_up(text).splitlines():
        starts = line.startswith("- ") or " = " in line[:32]
        after_item = bool(paragraphs) and paragraphs[-1].endswith((";", ".")) and not starts
        if not paragraphs or starts or (after_item and " = " in paragraphs[-1][:32]):
            paragraphs.append(line)
        else:
            paragraphs[-1] += " " + line.strip()
    return [plain(paragraph) for paragraph in paragraphs]
