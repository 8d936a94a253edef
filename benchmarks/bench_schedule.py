"""How many conversations a second an engine should reach: a simulation of its steps on one GPU.

Each step computes a chunk of prompts and one token of every running sequence. Its time follows from
rates that were measured on an H200 (`Card`); nothing here measures a GPU. The simulation says which
part of a measured rate is reading, which decoding and which the tail of long answers, and compares
orders of admission, numbers of sequences, chunk sizes, fp8 and the two forms of answers. What a GPU
then gives is compared with the figures of `results/schedule.json`.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness import Result, parser_of


@dataclass(frozen=True)
class Card:
    """Rates of a model of 8 billion parameters on an H200.

    Attributes:
        read_s: seconds to compute one prompt token (measured: 39,000 tokens/s in bf16).
        weights_s: seconds to read all weights once (16 GB at the measured 4.3 TB/s).
        token_bytes: bytes of one token in the key-value cache (36 layers, 8 heads of 128, bf16).
        bandwidth: bytes/s of memory (measured).
        cache_tokens: tokens that the key-value cache holds.
        step_s: seconds of a step that no sequence causes (fitted to the rate without a schema).
        mask_s: seconds of a step per sequence with a schema (fitted to the rate with one).
    """

    read_s: float = 1 / 39_000
    weights_s: float = 16e9 / 4.3e12
    token_bytes: float = 36 * 8 * 128 * 2 * 2
    bandwidth: float = 4.3e12
    cache_tokens: int = 700_000
    step_s: float = 0.005
    mask_s: float = 0.0

    def fp8(self) -> "Card":
        """With weights and cache in fp8: the measured peaks are 1,429 and 782 TFLOP/s."""
        return replace(
            self,
            read_s=self.read_s * 782 / 1_429,
            weights_s=self.weights_s / 2,
            token_bytes=self.token_bytes / 2,
            cache_tokens=2 * self.cache_tokens,
        )


@dataclass
class Request:
    """Prompt tokens to compute, prompt tokens that are cached, answer tokens to write."""

    prompt: int
    cached: int
    answer: int


def simulate(
    card: Card, requests: Sequence[Request], *, sequences: int = 256, chunk: int = 8_192
) -> dict[str, float]:
    """Seconds until all are answered, and where they went."""
    waiting = deque(requests)
    reading: deque[list[int]] = deque()  # tokens left to read, request number
    running: list[list[int]] = []  # context, tokens left to write
    spent = {"read": 0.0, "decode": 0.0, "steps": 0.0, "mask": 0.0}
    held = 0
    steps = 0
    last_full = clock = 0.0
    while waiting or reading or running:
        while waiting and len(running) + len(reading) < sequences:
            size = waiting[0].prompt + waiting[0].answer  # the cached head is held once
            if held + size > card.cache_tokens and (running or reading):
                break
            one = waiting.popleft()
            held += size
            reading.append([one.prompt, one.prompt + one.cached, one.answer, size])
        room, done = chunk - len(running), []
        read = 0
        while reading and room > 0:
            part = min(room, reading[0][0])
            reading[0][0] -= part
            room -= part
            read += part
            if not reading[0][0]:
                done.append(reading.popleft())
        context = sum(one[0] for one in running)
        steps += 1
        times = {
            "read": max(read * card.read_s, 0.0),
            "decode": context * card.token_bytes / card.bandwidth
            + (max(card.weights_s - read * card.read_s, 0.0) if running or read else 0.0),
            "steps": card.step_s,
            "mask": card.mask_s * len(running),
        }
        for name, seconds in times.items():
            spent[name] += seconds
        clock += sum(times.values())
        for one in running:
            one[0] += 1
            one[1] -= 1
        held -= sum(one[2] for one in running if not one[1])
        running = [one for one in running if one[1]]
        for _, tokens, answer, size in done:
            if answer > 1:
                running.append([tokens + 1, answer - 1, size])
            else:
                held -= size
        if waiting:
            last_full = clock
    return {
        "seconds": clock,
        "rate": len(requests) / clock,
        "tail_share": (clock - last_full) / clock,
        "steps": steps,
        **{f"{name}_share": seconds / clock for name, seconds in spent.items()},
    }


def measured_burst(answers: Callable[[random.Random], int], rows: int = 240) -> list[Request]:
    """The requests of the benchmark on the card: 2,146 prompt tokens, 967 of them cached."""
    draw = random.Random(1)
    return [Request(1_179, 967, answers(draw)) for _ in range(rows)]


def traffic(rows: int, mean_answer: float, seed: int = 2) -> list[Request]:
    """Conversations as public logs have them: lengths of a log-normal, 44 % subjective (1.1)."""
    draw = random.Random(seed)
    found = []
    for _ in range(rows):
        prompt = int(min(draw.lognormvariate(6.6, 0.9), 4_096))
        subjective = draw.random() < 0.44
        answer = max(int(draw.gauss(mean_answer, mean_answer / 4)), 8) if subjective else 8
        found.append(Request(max(prompt, 30), 967, answer))
    return found


def fitted() -> tuple[Card, Card, dict[str, Any]]:
    """A card whose free times reproduce the two measured rates, and how each rate comes about.

    Returns:
        The card without a schema, the card with one, and the rates.
    """
    equal = measured_burst(lambda draw: 165)
    long_tail = measured_burst(lambda draw: min(max(int(draw.gauss(165, 40)), 95), 290))
    card = _fit(lambda at: replace(Card(), step_s=at), equal, 20.8)
    masked = _fit(lambda at: replace(card, mask_s=at), long_tail, 14.2)
    one_token = measured_burst(lambda draw: 1)
    parts = {
        "reading_only": simulate(card, one_token)["rate"],
        "equal_lengths": simulate(card, equal)["rate"],
        "tail_without_schema": simulate(card, long_tail)["rate"],
        "tail_with_schema": simulate(masked, long_tail)["rate"],
        "step_s": card.step_s,
        "mask_s_per_sequence": masked.mask_s,
    }
    return card, masked, parts


def _fit(make: Callable[[float], Card], requests: Sequence[Request], rate: float) -> Card:
    low, high = 0.0, 0.05
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if simulate(make(middle), requests)["rate"] > rate else (low, middle)
        )
    return make((low + high) / 2)


ORDERS: dict[str, Callable[[list[Request], int], list[Request]]] = {
    "as they come": lambda rows, unit: rows,
    "longest first in each unit": lambda rows, unit: [
        one
        for start in range(0, len(rows), unit)
        for one in sorted(rows[start : start + unit], key=lambda r: -r.prompt)
    ],
    "shortest first in each unit": lambda rows, unit: [
        one
        for start in range(0, len(rows), unit)
        for one in sorted(rows[start : start + unit], key=lambda r: r.prompt)
    ],
}


def main() -> None:
    """Fit, explain the measured rates, predict."""
    given = parser_of(__doc__).parse_args()
    rows = 1_000 if given.quick else 6_000
    result = Result("schedule", given.quick)
    card, masked, parts = fitted()
    result.work["measured"] = parts
    result.rows += [(f"fit, {name}", f"{value:.4g}", "") for name, value in parts.items()]
    predicted: dict[str, Any] = {}

    def predict(name: str, card: Card, requests: Sequence[Request], **settings: int) -> float:
        found = simulate(card, requests, **settings)
        predicted[name] = {key: round(value, 4) for key, value in found.items()}
        result.rows.append((name, f"{found['rate']:.1f}", f"{found['tail_share']:.3f}"))
        return found["rate"]

    json_tokens, lines_tokens = 116, 38  # labelled answers, `bench_answers.py`
    steady = traffic(rows, json_tokens)
    for name, order in ORDERS.items():
        predict(f"order, {name}", card, order(steady, 256))
    for sequences in (64, 128, 256, 512, 1_024):
        predict(f"sequences {sequences}", card, steady, sequences=sequences)
    for chunk in (2_048, 4_096, 8_192, 16_384):
        predict(f"chunk {chunk}", card, steady, chunk=chunk)
    burst = [measured_burst(lambda draw, n=n: n, 3_000) for n in (165, 54)]
    for form, requests in zip(("JSON", "lines"), burst, strict=True):
        predict(f"full answers, {form}, bf16", card, requests, sequences=512)
        predict(f"full answers, {form}, fp8", card.fp8(), requests, sequences=512)
        name = f"full answers, {form}, fp8, schema as measured"
        predict(name, masked.fp8(), requests, sequences=512)
    for form, tokens in (("JSON", json_tokens), ("lines", lines_tokens)):
        predict(f"traffic, {form}, fp8", card.fp8(), traffic(rows, tokens), sequences=512)
    result.work["predicted"] = predicted
    result.ratios["longest_first_over_as_they_come"] = (
        predicted["order, longest first in each unit"]["rate"]
        / predicted["order, as they come"]["rate"]
    )
    result.ratios["lines_over_json_fp8"] = (
        predicted["full answers, lines, fp8"]["rate"] / predicted["full answers, JSON, fp8"]["rate"]
    )
    result.report(("", "conversations/s", "tail"))


if __name__ == "__main__":
    main()
