"""What an answer costs: tokens of both forms, and the CPU time that constrained decoding takes.

Tokens: labelled answers as JSON and as lines, with the tokenizers of model folders and four that
are trained here in the styles of families. Time: two grammar engines follow labelled answers token
by token, as an inference engine does between two steps: the mask of the next token, then the token.
"""

import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from answer_forms import FORMS, gold_texts, open_questions, tokenizers
from extract_inputs import conversations_of
from harness import ROOT, Result, parser_of, real_conversations

from vitw_ray.config import SAMPLE

MODELS = Path(os.environ.get("VITW_RAY_MODELS", ROOT.parent / "shared" / "models"))
SETS = ("one_pass", "separate", "short")
SEQUENCES = (1, 64, 256, 512)  # that an engine decodes at once
STEPS = 24  # measured at each number of sequences


def measure_tokens(result: Result, folders: Sequence[Path], quick: bool) -> None:
    """Mean tokens of a labelled answer in each form."""
    conversations = conversations_of(str(real_conversations() or SAMPLE), 400 if quick else 3_000)
    texts = [message.content for c in conversations for message in c.messages]
    gold = {questions: gold_texts(questions) for questions in SETS}
    found: dict[str, Any] = {}
    for name, count in tokenizers(folders, texts):
        found[name] = {}
        for questions, forms in gold.items():
            means = {
                form: statistics.mean(sum(map(count, parts)) for parts in answers)
                for form, answers in forms.items()
            }
            found[name][questions] = means
            ratio = means["lines"] / means["json"]
            result.rows.append(
                (f"tokens, {questions}, {name}", f"{means['json']:.1f}", f"{means['lines']:.1f}",
                 f"{ratio:.2f}")
            )  # fmt: skip
    result.work["tokens"] = found
    for questions in SETS:
        ratios = [one[questions]["lines"] / one[questions]["json"] for one in found.values()]
        result.ratios[f"lines_over_json_{questions}"] = max(ratios)


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with strings of any kind: what is checked only after decoding."""
    text = json.loads(json.dumps(schema))
    for part in (text, *text.get("$defs", {}).values()):
        for field in part.get("properties", {}).values():
            for place in (field, field.get("items", {})):
                place.pop("pattern", None)
    return text


def grammars() -> dict[str, tuple[str, str, str]]:
    """Name -> kind, text and form of answer of each grammar that is compared."""
    as_json, lines = (open_questions(form)[0] for form in FORMS)
    return {
        "schema with patterns": ("json", json.dumps(as_json.schema), "json"),
        "schema, plain strings": ("json", json.dumps(plain(as_json.schema)), "json"),
        "lines": ("regex", lines.pattern, "lines"),
    }


class Xgrammar:
    """As vLLM uses it: one compiled grammar, one matcher for each sequence."""

    separators = (", ", ": ")

    def __init__(self, tokenizer: Any) -> None:
        import xgrammar

        self._x = xgrammar
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=len(tokenizer))
        self._compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        self._size = len(tokenizer)

    def compile(self, kind: str, text: str) -> Any:
        """A compiled grammar."""
        if kind == "regex":
            return self._compiler.compile_regex(text)
        return self._compiler.compile_json_schema(text, any_whitespace=False)

    def matcher(self, compiled: Any) -> Any:
        """A sequence at its start."""
        return self._x.GrammarMatcher(compiled)

    def masks(self, sequences: int) -> Any:
        """Room for a mask per sequence."""
        return self._x.allocate_token_bitmask(sequences, self._size)

    def fill(self, matcher: Any, masks: Any, place: int) -> None:
        """The mask of a sequence's next token."""
        matcher.fill_next_token_bitmask(masks, place)

    def take(self, matcher: Any, token: int) -> bool:
        """Go on by one token."""
        return matcher.accept_token(token)


class Llguidance:
    """The other engine that vLLM ships."""

    separators = (",", ":")

    def __init__(self, tokenizer: Any) -> None:
        import llguidance
        import llguidance.hf
        import llguidance.torch

        self._g, self._masks = llguidance, llguidance.torch
        self._tokenizer = llguidance.hf.from_tokenizer(tokenizer)

    def compile(self, kind: str, text: str) -> Any:
        """A grammar as text; it is compiled while it is followed."""
        matcher = self._g.LLMatcher
        if kind == "regex":
            return matcher.grammar_from_regex(text)
        whitespace = {"whitespace_flexible": False}
        return matcher.grammar_from_json_schema(text, overrides=whitespace)

    def matcher(self, compiled: Any) -> Any:
        """A sequence at its start."""
        return self._g.LLMatcher(self._tokenizer, compiled)

    def masks(self, sequences: int) -> Any:
        """Room for a mask per sequence."""
        return self._masks.allocate_token_bitmask(sequences, self._tokenizer.vocab_size)

    def fill(self, matcher: Any, masks: Any, place: int) -> None:
        """The mask of a sequence's next token."""
        self._masks.fill_next_token_bitmask(matcher, masks, place)

    def take(self, matcher: Any, token: int) -> bool:
        """Go on by one token."""
        return matcher.consume_token(token)


def follow(
    engine: Any, compiled: Any, answers: Sequence[list[int]], sequences: int
) -> Iterator[float]:
    """CPU seconds of each step of many sequences, each at another place of its answer."""
    masks = engine.masks(sequences)
    running: list[tuple[Any, list[int]]] = []
    waiting = iter(answers * (1 + sequences * (STEPS + 200) // sum(map(len, answers))))
    for number in range(sequences):
        running.append(_started(engine, compiled, next(waiting), number))
    for _ in range(STEPS):
        start = time.process_time()
        for place, (matcher, _left) in enumerate(running):
            engine.fill(matcher, masks, place)
        for matcher, left in running:
            if not engine.take(matcher, left.pop(0)):
                raise AssertionError("a labelled answer does not follow the grammar")
        yield time.process_time() - start
        for place, (_, left) in enumerate(running):
            if not left:
                running[place] = _started(engine, compiled, next(waiting), 0)


def _started(engine: Any, compiled: Any, answer: list[int], ahead: int) -> tuple[Any, list[int]]:
    matcher, left = engine.matcher(compiled), list(answer)
    for _ in range(ahead % (len(left) - 1)):
        engine.take(matcher, left.pop(0))
    return matcher, left


def measure_grammars(result: Result, folder: Path, quick: bool) -> None:
    """Microseconds of one CPU per decoded token, and seconds to compile."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    gold = gold_texts("one_pass")
    found: dict[str, Any] = {}
    for kind in (Xgrammar, Llguidance):
        engine = kind(tokenizer)
        for name, (form_of, text, form) in grammars().items():
            texts = [parts[0] for parts in gold[form][: 40 if quick else 160]]
            if form == "json":  # the engines differ in the white space that they allow
                texts = [json.dumps(json.loads(t), separators=engine.separators) for t in texts]
            answers = [tokenizer.encode(t, add_special_tokens=False) for t in texts]
            start = time.process_time()
            compiled = engine.compile(form_of, text)
            list(follow(engine, compiled, answers, 1))
            compiling = time.process_time() - start
            costs: dict[str, Any] = {"compile_s": round(compiling, 3)}
            for sequences in SEQUENCES[:2] if quick else SEQUENCES:
                steps = sorted(follow(engine, compiled, answers, sequences))
                each = 1e6 * sum(steps) / len(steps) / sequences
                costs[str(sequences)] = {
                    "us_per_token": round(each, 1),
                    "step_ms": round(1e3 * statistics.median(steps), 2),
                    "slowest_step_ms": round(1e3 * steps[-1], 2),
                }
            mean_tokens = statistics.mean(map(len, answers))
            costs["tokens"] = round(mean_tokens, 1)
            found[f"{kind.__name__.lower()}, {name}"] = costs
            most = costs[str(SEQUENCES[1])]
            result.rows.append(
                (f"grammar, {kind.__name__.lower()}, {name}", f"{compiling:.2f} s",
                 f"{most['us_per_token']} us", f"{most['us_per_token'] * mean_tokens / 1e3:.1f} ms")
            )  # fmt: skip
    result.work["grammar"] = {"vocabulary": len(tokenizer), **found}


def main() -> None:
    """Measure both."""
    given = parser_of(__doc__).parse_args()
    result = Result("answers", given.quick)
    folders = sorted(path.parent for path in MODELS.glob("*/tokenizer.json"))
    measure_tokens(result, folders, given.quick)
    if folders:
        measure_grammars(result, folders[0], given.quick)
    result.report(("", "JSON or compile", "lines or a token", "ratio or an answer"))


if __name__ == "__main__":
    main()
