"""Answers to the same prompts: which are paired, and their counts."""

from collections import defaultdict
from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitw_ray.keys import id_hash
from vitw_ray.statistics.assistants import compare_paired
from vitw_ray.statistics.compared_groups import Groups
from vitw_ray.statistics.contingency import Axis
from vitw_ray.statistics.paired import ANSWERS, count_paired

pytestmark = pytest.mark.filterwarnings("error")

MODELS, TYPES, LABELS = 3, 2, 4
LEVELS = {0: (np.arange(LABELS, dtype=np.int32), LABELS), 1: (np.array([0, 0, 1, 1], np.int32), 2)}

answer = st.tuples(
    st.integers(0, 5),  # prompt
    st.integers(0, MODELS - 1),
    st.sets(st.integers(0, LABELS - 1)),
    st.integers(-1, TYPES - 1),
)


def table(answers) -> pa.Table:
    rows = [
        {
            "hash": id_hash(f"prompt {prompt}"),
            "prompt_id": f"prompt {prompt}",
            "conversation_id": f"c{number:03d}",
            "model": model,
            "codes": sorted(codes),
            "response_type": kind,
        }
        for number, (prompt, model, codes, kind) in enumerate(answers)
    ]
    return pa.Table.from_pylist(rows, ANSWERS)


def first_answers(answers):
    """(prompt, assistant) -> labels, clusters and response type of its first answer."""
    found = {}
    for prompt, model, codes, kind in answers:
        found.setdefault((prompt, model), (codes, {c // 2 for c in codes}, {kind} - {-1}))
    return found


@given(st.lists(answer, max_size=30), st.randoms())
def test_counts_equal_those_of_sets_in_any_order_of_the_rows(answers, random):
    mixed = table(answers).take(
        pa.array(random.sample(range(len(answers)), len(answers)), pa.int64())
    )
    counts = count_paired(mixed, MODELS, TYPES, LEVELS)
    found = first_answers(answers)
    for place, (name, size) in enumerate([("ai_0", LABELS), ("ai_1", 2), ("types", TYPES)]):
        axis = Axis("any", [str(code) for code in range(size)])
        groups = Groups(
            "models", {m: str(m) for m in range(MODELS)}, list(permutations(range(MODELS), 2))
        )
        rows = compare_paired(counts[name], groups, axis).to_pylist()
        by_pair = defaultdict(dict)
        for row in rows:
            by_pair[int(row["model_a"]), int(row["model_b"])][int(row["label"])] = row
        for a, b in groups.pairs:
            prompts = [p for p, m in found if m == a and (p, b) in found]
            held = [(found[p, a][place], found[p, b][place]) for p in prompts]
            shown = {code for x, y in held for code in x | y}
            assert set(by_pair[a, b]) == shown
            for code in shown:
                row = by_pair[a, b][code]
                assert row["conversations_a"] == row["conversations_b"] == len(prompts)
                assert row["share_a"] == sum(code in x for x, _ in held) / len(prompts)
                assert row["share_b"] == sum(code in y for _, y in held) / len(prompts)
                discordant = sum((code in x) != (code in y) for x, y in held)
                assert (row["p_adjusted"] is None) == (discordant == 0)


@given(st.lists(answer, max_size=30))
def test_counts_of_separate_prompts_add_up_to_the_counts_of_all_prompts(answers):
    whole = count_paired(table(answers), MODELS, TYPES, LEVELS)
    parts = [
        count_paired(table([a for a in answers if a[0] % 2 == half]), MODELS, TYPES, LEVELS)
        for half in (1, 0)
    ]
    for name, counts in whole.items():
        total = parts[0][name].add(parts[1][name])
        assert np.array_equal(total.answered, counts.answered)
        for tally in ("shown", "both"):
            assert np.array_equal(getattr(total, tally).keys, getattr(counts, tally).keys)
            assert np.array_equal(getattr(total, tally).counts, getattr(counts, tally).counts)
