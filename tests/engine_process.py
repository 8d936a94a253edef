"""Extractors in a separate process, because vLLM changes torch and the environment permanently.

The functions below run in that process, one after the other. Extractors are cached there, so that
tests of one module share an engine, whose start takes ten seconds.
"""

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.extraction.answers import Extracted, in_order
from vitw_ray.records import Conversation

FAULTS = Path(__file__).parent / "engine_faults"
_extractors: dict[RunConfig, Any] = {}


@contextmanager
def engine_process() -> Iterator[Callable[..., Any]]:
    """Yield `call(function, *arguments)`, which runs there; its engines load `engine_faults`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, _add_faults) as pool:

            def call(function: Callable[..., Any], *arguments: Any) -> Any:
                return pool.submit(function, *arguments).result()

            try:
                yield call
            finally:
                call(_close_all)


def _add_faults() -> None:
    sys.path.append(str(FAULTS))  # spawned processes inherit this path instead of PYTHONPATH


def start(config: RunConfig) -> dict[str, Any]:
    """Create the extractor of a run, once; return its description."""
    return dict(_extractor(config).describe())


def answer(config: RunConfig, conversations: Sequence[Conversation]) -> list[Extracted]:
    """Results of all conversations, in order."""
    return in_order(_extractor(config), conversations)


def answer_labelled(config: RunConfig, conversations: Sequence[Conversation]) -> list[Any]:
    """Answers to all questions about each conversation, with the log-probabilities."""
    return _extractor(config).read_labelled(conversations)


@dataclass(frozen=True)
class Prompt:
    """The part of a prompt that is specific to one conversation."""

    content: str  # decoded, including control tokens
    tokens: int
    control_tokens: int


def answer_and_catch(
    config: RunConfig, conversations: Sequence[Conversation]
) -> tuple[list[Extracted], list[Prompt]]:
    """As `answer`, with the prompts of all requests as received by the engine."""
    from vitw_ray.inference.vllm_engine import VllmEngine

    model, run, caught = _extractor(config)._model, VllmEngine.run, []

    async def recorded_run(engine: Any, request: Any) -> Any:
        caught.append(request.token_ids)
        return await run(engine, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VllmEngine, "run", recorded_run)
        results = answer(config, conversations)
    frame = model._encoder.frame(model._questions[0])
    head, tail = list(frame.head), list(frame.tail)
    assert all(ids[: len(head)] == head and ids[-len(tail) :] == tail for ids in caught)
    contents = [ids[len(head) : -len(tail)] for ids in caught]
    control = model._encoder.control_ids
    return results, [
        Prompt(model._tokenizer.decode(ids), len(ids), sum(index in control for index in ids))
        for ids in contents
    ]


def answer_within(
    seconds: float, config: RunConfig, conversations: Sequence[Conversation]
) -> list[Extracted]:
    """As `answer`, with a shorter request timeout."""
    engine = _extractor(config)._model._recovery._engine
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine._limits, "limit_s", seconds)
        return answer(config, conversations)


def answer_warmly(config: RunConfig, conversations: Sequence[Conversation]) -> list[Extracted]:
    """Results sampled at temperature 1 under the schema, without other settings."""
    from vitw_ray.inference.vllm_engine import sampling

    model = _extractor(config)._model
    (question,) = model._questions
    warm = sampling(question.schema, max_tokens=700, temperature=1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(model._sampling, (question, 0), warm)
        return answer(config, conversations)


def count_schema_checks(config: RunConfig, conversations: Sequence[Conversation]) -> int:
    """Number of schema compilations in the extractor's process while these are answered."""
    from vllm.v1.structured_output import backend_xgrammar  # pyright: ignore[reportMissingImports]

    model, check, checks = _extractor(config)._model, backend_xgrammar.validate_xgrammar_grammar, []
    model._sampling.clear()
    with pytest.MonkeyPatch.context() as patch:
        counted = lambda params: (checks.append(1), check(params))[1]  # noqa: E731
        patch.setattr(backend_xgrammar, "validate_xgrammar_grammar", counted)
        answer(config, conversations)
    return len(checks)


def forms_asked(config: RunConfig) -> list[str]:
    """What decoding is held to when a question is asked as JSON and as lines in turn, each time."""
    from vitw_ray.extraction.questions import questions_for

    model = _extractor(config)._model
    forms = [
        questions_for(ExtractionConfig(questions="one_pass", answer_form=form)).all[0]
        for form in ("json", "lines")
    ]
    assert forms[0].name == forms[1].name
    asked = [model.sampling(question, 0).structured_outputs for question in (*forms, *forms)]
    return ["lines" if held.regex else "json" for held in asked]


def start_without_schemas(config: RunConfig) -> None:
    """Create an extractor whose requests lose their schema, as with a misnamed option."""
    from vitw_ray.inference import vllm_model

    sampling = vllm_model.sampling
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vllm_model, "sampling", lambda _, **settings: _free(sampling, settings))
        start(config)


def _free(sampling: Callable[..., Any], settings: dict[str, Any]) -> Any:
    found = sampling({"type": "object"}, **settings)
    found.structured_outputs = None
    return found


def children() -> int:
    """Number of running engine processes."""
    return len(multiprocessing.active_children())


def _extractor(config: RunConfig) -> Any:
    from vitw_ray.extraction.extractors import make_extractor

    if config not in _extractors:
        _extractors[config] = make_extractor(config)
    return _extractors[config]


def _close_all() -> None:
    for extractor in _extractors.values():
        extractor.close()
    _extractors.clear()
