"""Token counts of prompt layouts: prefilled by vLLM, and by an ideal prefix tree.

Prompts are real conversations if available, else planted ones, with a tokenizer of 8,192 pieces
trained on a sample of them. Each layout runs through vLLM with a prefix cache of a fixed number of
tokens, so that it evicts as on a full GPU; one token is generated.
"""

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from extract_inputs import conversations_of, make_model, whole_answers
from extract_routes import in_own_process
from harness import Result, real_conversations

from vitw_ray.config import SAMPLE, ExtractionConfig
from vitw_ray.extraction.questions import questions_for
from vitw_ray.inference.chat_prompt import PromptEncoder
from vitw_ray.inference.question import Question, conversation_turns, turn_mark
from vitw_ray.inference.transcript import transcript
from vitw_ray.inference.vllm_engine import BLOCK_TOKENS, prepare_environment
from vitw_ray.records import Conversation

CACHE_TOKENS = 400_000  # fits on an 80 GB GPU beside 8 billion weights in fp8
LONG_TOKENS = 1_000  # of a conversation
BUDGET = 4_096  # the default --transcript-tokens
OBJECTIVE_SHARE = 0.56  # of conversations (paper, 1.1)
LAYOUTS = ("one_pass", "separate_instructions_first", "separate_conversation_first")


def layouts(encoder: PromptEncoder, bodies: Sequence[list[int]]) -> Iterator[tuple[str, list]]:
    """Each layout's name, and its prompts for each conversation in the order of requests."""
    (one_pass,) = questions_for(ExtractionConfig(questions="one_pass")).all
    separate = questions_for(ExtractionConfig(questions="separate")).all
    later = [question for question in separate if question.name != "subjectivity"]
    first = [_instructions_first(question) for question in later]
    for name, questions in zip(LAYOUTS, ([one_pass], first, later), strict=True):
        frames = [encoder.frame(question) for question in questions]
        yield name, [[frame.prompt(body) for frame in frames] for body in bodies]


def _instructions_first(question: Question) -> Question:
    """A separate question with its instructions before the conversation."""
    instructions, cue = question.after.rsplit("\n\n", 1)
    return replace(question, before=f"{question.before}\n\n{instructions}", after=cue)


def unique_tokens(prompts: Sequence[list[int]]) -> int:
    """Nodes of the prefix tree: the tokens computed with an unlimited prefix cache."""
    total, before = 0, list[int]()
    for prompt in sorted(prompts):
        shared = next(
            (n for n, (a, b) in enumerate(zip(before, prompt, strict=False)) if a != b),
            min(len(before), len(prompt)),
        )
        total += len(prompt) - shared
        before = prompt
    return total


def by_blocks(prompts: Sequence[list[int]], block: int) -> int:
    """Tokens computed with an unlimited cache of whole blocks, in this order.

    At least one token of each prompt is computed, as in vLLM, so a last full block is never a hit.
    """
    known: set[int] = set()
    total = 0
    for prompt in prompts:
        digest, hits, missed = 0, 0, False
        for start in range(0, len(prompt) - block + 1, block):
            digest = hash((digest, *prompt[start : start + block]))
            missed |= digest not in known
            hits += not missed and start + block < len(prompt)
            known.add(digest)
        total += len(prompt) - hits * block
    return total


def prefilled(folder: str, prompts: Sequence[list[int]]) -> tuple[list[int], dict[str, int]]:
    """Tokens of each prompt that vLLM computed, and its counters; call in a separate process."""
    prepare_environment("cpu")
    from vllm import LLM, SamplingParams

    block = BLOCK_TOKENS["cpu"]
    engine = LLM(
        model=folder,
        max_model_len=2 * BUDGET + 2_048,
        max_num_seqs=64,
        max_num_batched_tokens=16_384,
        block_size=block,
        num_gpu_blocks_override=CACHE_TOKENS // block,
        enable_prefix_caching=True,
        enforce_eager=True,
        disable_log_stats=False,
    )
    requests: Any = [{"prompt_token_ids": prompt} for prompt in prompts]
    outputs = engine.generate(requests, SamplingParams(max_tokens=1, temperature=0), use_tqdm=False)
    counters = {metric.name: metric for metric in engine.get_metrics()}
    seen: dict[str, int] = {
        name.removeprefix("vllm:"): int(getattr(counters[name], "value", 0))
        for name in ("vllm:prefix_cache_queries", "vllm:prefix_cache_hits", "vllm:prompt_tokens")
    }
    counted = [
        len(prompt) - (output.num_cached_tokens or 0)
        for prompt, output in zip(prompts, outputs, strict=True)
    ]
    return counted, seen


def tokenised(folder: str, conversations: Sequence[Conversation]) -> tuple[PromptEncoder, list]:
    """The encoder of a model's folder, and each conversation encoded and cut to the budget."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = PromptEncoder(tokenizer, block_size=BLOCK_TOKENS["cpu"])
    mark = encoder.count(turn_mark("assistant"))
    bodies = []
    for conversation in conversations:
        read = transcript(conversation.messages, BUDGET, lambda text: encoder.count(text) + mark)
        bodies.append(encoder.body(conversation_turns(read.messages)))
    return encoder, bodies


def measure_prefill(conversations: Sequence[Conversation], folder: Path) -> dict[str, Any]:
    """Prefilled tokens of each layout, for all conversations and for the long ones."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    lines = [message.content for c in conversations[::5] for message in c.messages]
    in_own_process(partial(make_model, vocab_size=8_192, layers=1), folder, lines)
    encoder, bodies = tokenised(str(folder), conversations)
    long = [len(body) >= LONG_TOKENS for body in bodies]
    found: dict[str, Any] = {
        "conversations": len(bodies),
        "long_conversations": sum(long),
        "conversation_tokens": sum(map(len, bodies)),
        "block_size": BLOCK_TOKENS["cpu"],
        "cache_tokens": CACHE_TOKENS,
    }
    for name, by_conversation in layouts(encoder, bodies):
        prompts = [prompt for prompts in by_conversation for prompt in prompts]
        counted, counters = in_own_process(prefilled, str(folder), prompts)
        per = len(by_conversation[0])
        of_conversation = [sum(counted[n : n + per]) for n in range(0, len(counted), per)]
        found[name] = {
            "prompt_tokens": sum(map(len, prompts)),
            "prefilled": sum(counted),
            "prefilled_long": sum(itertools.compress(of_conversation, long)),
            "by_blocks": {str(block): by_blocks(prompts, block) for block in (16, 32)},
            "unique": unique_tokens(prompts),
            "engine": counters,
        }
    return found


def output_tokens(folder: str, answers: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Tokens of answers as JSON: mean of complete answers, and of one that ends at the gate."""
    encoder, _ = tokenised(folder, ())

    def tokens(answer: dict[str, Any]) -> int:
        return encoder.count(json.dumps(answer))

    whole = [tokens(answer) for answer in answers]
    short = tokens({"subjectivity": 1})
    return {"whole": sum(whole) / len(whole), "short": short}


def measure_tokens(result: Result, folder: Path, limit: int) -> None:
    """Prefilled tokens of three layouts, and output tokens with and without the gate."""
    conversations = conversations_of(str(real_conversations() or SAMPLE), limit)
    found = measure_prefill(conversations, folder)
    ours, first, later = (found[name] for name in LAYOUTS)
    written = output_tokens(str(folder), whole_answers())
    gated = OBJECTIVE_SHARE * written["short"] + (1 - OBJECTIVE_SHARE) * written["whole"]
    result.work["tokens"] = {**found, "output": {**written, "gated": gated}}
    ratios = {
        "prefill_saving": first["prefilled_long"] / max(ours["prefilled_long"], 1),
        "prefill_saving_all": first["prefilled"] / ours["prefilled"],
        "prefill_over_optimum": ours["prefilled"] / ours["unique"],
        "conversation_first_over_one_pass": later["prefilled"] / ours["prefilled"],
        "output_saving_of_the_gate": written["whole"] / gated,
    }
    result.ratios |= ratios
    result.rows += [(f"tokens, {name}", f"{value:.4g}", "") for name, value in ratios.items()]
