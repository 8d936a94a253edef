"""Answers of labelled conversations in both forms, and tokenizers of several families."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from extract_inputs import whole_answers

from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.questions import questions_for
from vitw_ray.inference.lines import BETWEEN, EXPLICIT, NONE, Line
from vitw_ray.inference.question import Question

FORMS = ("json", "lines")
PIECES = 32_000  # of the tokenizers that are trained here
Count = Callable[[str], int]


def open_questions(form: str, questions: str = "one_pass") -> tuple[Question, ...]:
    """The open questions of a form."""
    config = ExtractionConfig(questions=questions, answer_form=form)  # type: ignore[arg-type]
    return tuple(one for one in questions_for(config).all if not one.codes)


def gold_fields(lines: Sequence[Line], answer: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a labelled answer that a question asks for."""
    fields: dict[str, Any] = {}
    for line in lines:
        found = answer[line.field]
        if line.kind == "values" and line.marks:
            found = [{"label": v["label"], "explicit": bool(v["explicit"])} for v in found]
        elif line.kind == "values":
            found = [v["label"] for v in found]
        fields[line.field] = found
    return fields


def in_lines(lines: Sequence[Line], fields: Mapping[str, Any]) -> str:
    """What a model writes that answers in lines."""
    return "\n".join(_line(line, fields[line.field]) for line in lines)


def _line(line: Line, found: Any) -> str:
    if line.kind == "code":
        return next(code for code, meant in line.codes if meant == found)
    if line.kind == "phrase":
        return found
    return BETWEEN.join(map(_entry, found)) or NONE


def _entry(value: Any) -> str:
    return value if isinstance(value, str) else value["label"] + EXPLICIT * value["explicit"]


def gold_texts(questions: str) -> dict[str, list[list[str]]]:
    """By form, then by answer: what a model writes to each open question of a set."""
    found: dict[str, list[list[str]]] = {form: [] for form in FORMS}
    asked = [one.lines for one in open_questions("lines", questions)]
    for answer in whole_answers():
        fields = [gold_fields(lines, answer) for lines in asked]
        found["json"].append([json.dumps(one) for one in fields])
        found["lines"].append([in_lines(*pair) for pair in zip(asked, fields, strict=True)])
    return found


def tokenizers(folders: Sequence[Path], texts: Sequence[str]) -> Iterator[tuple[str, Count]]:
    """Name and counter of each tokenizer: those of model folders, and four trained on `texts`."""
    from tokenizers import Tokenizer

    for folder in folders:
        yield folder.name, _counter(Tokenizer.from_file(str(folder / "tokenizer.json")))
    for name, make in _STYLES.items():
        yield name, _counter(make(texts))


def _counter(tokenizer: Any) -> Count:
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _byte_level(pattern: str) -> Callable[[Sequence[str]], Any]:
    def make(texts: Sequence[str]) -> Any:
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=PIECES, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
        return tokenizer

    return make


def _sentencepiece(texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="first"),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    trainer = trainers.BpeTrainer(vocab_size=PIECES, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _unigram(texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=8_000, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


# How families split a text before pieces are learnt: digits one by one or in threes, words with the
# sign before them or only with a space.
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_STYLES: Mapping[str, Callable[[Sequence[str]], Any]] = {
    "trained: byte-level, digits in threes": _byte_level(_WORDS % r"\p{N}{1,3}"),
    "trained: byte-level, as GPT-2": _byte_level(
        r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    ),
    "trained: SentencePiece BPE": _sentencepiece,
    "trained: Unigram": _unigram,
}
