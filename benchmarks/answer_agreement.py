"""JSON and lines from the same model about the same labelled conversations.

Run by hand, as it needs weights: `python benchmarks/answer_agreement.py MODEL [--rows 40]
[--minutes 30]`. When the time is over, what has been answered is compared. One
engine is asked the open short questions about labelled subjective conversations in both forms, in
turn. Values match labels of people if the cosine of their vectors reaches the usual threshold.
"""

import argparse
import asyncio
import gzip
import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from answer_forms import FORMS, open_questions
from harness import Result, real_conversations

from vitw_ray.agreement.measures import label_scores, similarity_of
from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.extraction.asking import as_values
from vitw_ray.inference.attempts import ATTEMPTS
from vitw_ray.inference.embedder import load_embedder
from vitw_ray.inference.language_model import Reading
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.inference.question import Question
from vitw_ray.inference.vllm_model import VllmModel
from vitw_ray.records import Message

FIELDS = ("human_values", "ai_values")


def labelled(rows: int) -> list[tuple[tuple[Message, ...], dict[str, Any]]]:
    """Subjective conversations with the answer of people."""
    source = real_conversations()
    if source is None:
        raise SystemExit("no labelled conversations here")
    truth = {
        one["conversation_id"]: one for one in _rows(source.parent / "labels/gold_open.jsonl.gz")
    }
    found = []
    for name in ("conversations.jsonl.gz", "models.jsonl.gz"):
        for row in _rows(source.parent / name):
            gold = truth.get(row["conversation_id"])
            if gold and gold["subjectivity"] >= 3:
                turns = tuple(Message(m["role"], m["content"]) for m in row["messages"])
                found.append((turns, gold))
    return found[:: max(len(found) // rows, 1)][:rows]


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


async def answer(model: VllmModel, reading: Reading, question: Question) -> dict[str, Any]:
    """Fields, tokens and what was odd about one answer."""
    repairs, tokens = Counter[str](), 0
    for attempt in range(ATTEMPTS):
        completion = await model.ask(reading, question, attempt)
        tokens += completion.output_tokens
        try:
            fields = parse(completion.text, question, repairs)
        except InvalidAnswer:
            continue
        return {"fields": fields, "tokens": tokens, "again": attempt, "cut": completion.cut,
                "odd": sum(repairs.values())}  # fmt: skip
    return {"fields": None, "tokens": tokens, "again": ATTEMPTS, "cut": True, "odd": 0}


async def read_all(
    model: VllmModel,
    conversations: Sequence[tuple[Message, ...]],
    questions: dict[str, Any],
    seconds: float,
) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """How many were read in time, and their answers by form, by conversation and question."""
    await model.open()
    found: dict[str, list[dict[str, Any]]] = {form: [] for form in FORMS}
    end = time.monotonic() + seconds
    for number, messages in enumerate(conversations):
        if number and time.monotonic() > end:
            return number, found
        reading = model.read(messages)
        for form in FORMS if number % 2 else FORMS[::-1]:
            asked = [answer(model, reading, question) for question in questions[form]]
            found[form] += await asyncio.gather(*asked)
    return len(conversations), found


def labels_of(
    answers: Sequence[dict[str, Any]], field: str, turns: Sequence[Any]
) -> list[list[str]]:
    """Labels that a form gave for a field, per conversation."""
    asked = [a for a in answers if a["fields"] is None or field in a["fields"]]
    per = len(answers) // len(turns)
    lists = []
    for number, messages in enumerate(turns):
        mine = answers[number * per : (number + 1) * per]
        fields = next((a["fields"] for a in mine if a["fields"] and field in a["fields"]), None)
        values = as_values(fields[field], messages, "user") if fields and asked else ()
        lists.append([value.label for value in values])
    return lists


def main() -> None:
    """Ask, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=30, help="stop asking after so long")
    given = parser.parse_args()
    rows = labelled(given.rows)
    turns = [messages for messages, _ in rows]
    questions = {form: open_questions(form, "short") for form in FORMS}
    config = RunConfig(
        extraction=ExtractionConfig(extractor="vllm", model=given.model, transcript_tokens=600),
        execution=Execution(request_timeout_s=3_000),
    )
    model = VllmModel(config, [q for form in FORMS for q in questions[form]])
    read, found = asyncio.run(read_all(model, turns, questions, 60 * given.minutes))
    rows, turns = rows[:read], turns[:read]
    model.close()
    result = Result("answer_agreement", quick=False)
    embedder = load_embedder("minilm", "cpu")
    names = [question.name for question in questions["json"]]
    lists = {
        (form, field): labels_of(found[form], field, turns) for form in FORMS for field in FIELDS
    }
    gold = {field: [[v["label"] for v in one[field]] for _, one in rows] for field in FIELDS}
    phrases = sorted({p for some in (*lists.values(), *gold.values()) for one in some for p in one})
    similarity = similarity_of(phrases, embedder.encode(phrases))
    work: dict[str, Any] = {"model": Path(given.model).name, "rows": len(rows)}
    for form in FORMS:
        answers = found[form]
        work[form] = {
            "tokens": statistics.mean(a["tokens"] for a in answers) * len(names),
            "asked_again": sum(a["again"] > 0 for a in answers),
            "failed": sum(a["fields"] is None for a in answers),
            "cut": sum(a["cut"] for a in answers),
            "odd": sum(a["odd"] for a in answers),
        }
        for field in FIELDS:
            mine = lists[form, field]
            work[form][f"{field}_f1"] = round(label_scores(gold[field], mine, similarity).f1, 3)
            work[form][f"{field}_length"] = round(statistics.mean(map(len, mine)), 2)
    for field in FIELDS:
        both = label_scores(lists["json", field], lists["lines", field], similarity)
        work[f"{field}_between_forms_f1"] = round(both.f1, 3)
    result.work = work
    for name in work["json"]:
        result.rows.append((name, f"{work['json'][name]:.3g}", f"{work['lines'][name]:.3g}"))
    result.report(("", "json", "lines"))


if __name__ == "__main__":
    main()
