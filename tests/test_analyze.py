"""The counts and tables of stage 5, against counting sets of conversations one by one."""

from itertools import pairwise, product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import EXTRACTIONS, TASK_ASSIGNMENTS
from vitw_ray.statistics.block import ConversationBlock
from vitw_ray.statistics.codebook import Codebook
from vitw_ray.statistics.partials import add, add_to, count_block
from vitw_ray.statistics.tables import compute

VOCABULARY = Codebook(
    labels={"ai_values": ["care", "clarity", "honesty"], "human_values": ["honesty", "speed"]},
    codes={
        "ai_values": {"care": 0, "clarity": 1, "honesty": 2, "Honesty": 2},
        "human_values": {"honesty": 0, "speed": 1},
    },
    ai_levels=[["care", "clarity", "honesty"], ["x:l1:a", "x:l1:b"]],
    ai_ancestors=[np.array([0, 1, 2], np.int32), np.array([0, 1, 1], np.int32)],
    tasks=["tasks:l1:a", "tasks:l1:b"],
    models=["m", "n"],
)

rows = st.lists(
    st.fixed_dictionaries(
        {
            "is_subjective": st.sampled_from([True, True, True, False, None]),
            "ai_values": st.lists(
                st.sampled_from(["care", "clarity", "honesty", "Honesty", "rare"]),
                unique=True,
                max_size=4,
            ),
            "human_values": st.lists(
                st.sampled_from(["honesty", "speed", "odd"]), unique=True, max_size=2
            ),
            "task": st.sampled_from([None, *VOCABULARY.tasks]),
            "response_type": st.sampled_from([None, *RESPONSE_TYPES]),
            "model": st.sampled_from([None, "m", "n"]),
        }
    ),
    max_size=30,
)


def tables(found) -> tuple[pa.Table, pa.Table]:
    extractions, tasks = [], []
    for number, row in enumerate(found):
        values = {
            facet: [{"label": label, "explicit": True} for label in row[facet]]
            for facet in ("ai_values", "human_values")
        }
        extractions.append(
            {
                "conversation_id": f"c{number}",
                "source": "test",
                "extractor": "test",
                "model": row["model"],
                "is_subjective": row["is_subjective"],
                "response_type": row["response_type"],
                "prompt_tokens": 0,
                "output_tokens": 0,
                "truncated_share": 0.0,
                **values,
            }
        )
        if row["task"] and row["is_subjective"]:
            tasks.append({"conversation_id": f"c{number}", "cluster_id": row["task"]})
    return pa.Table.from_pylist(extractions, EXTRACTIONS), pa.Table.from_pylist(
        tasks, TASK_ASSIGNMENTS
    )


def holds(row, facet: str) -> set[str]:
    labels, codes = VOCABULARY.labels["ai_values"], VOCABULARY.codes["ai_values"]
    names = {labels[codes[value]] for value in row["ai_values"] if value != "rare"}
    return {
        "ai_values": names,
        "human_values": set(row["human_values"]) - {"odd"},
        "tasks": {row["task"]} - {None},
        "response_types": {row["response_type"]} - {None},
    }[facet]


@settings(max_examples=60, deadline=None)
@given(rows)
def test_associations_count_the_conversations_that_hold_both(found):
    merged = count_block(ConversationBlock.of(*tables(found), VOCABULARY))
    observed = {
        (r["row"], r["column_facet"], r["column"]): r["observed"]
        for r in compute(merged, {}, VOCABULARY, 0.05)["associations"].to_pylist()
        if r["level"] == 0
    }
    subjective = [row for row in found if row["is_subjective"]]
    columns = {
        "tasks": VOCABULARY.tasks,
        "human_values": VOCABULARY.human,
        "response_types": RESPONSE_TYPES,
    }
    for facet, names in columns.items():
        for label, column in product(VOCABULARY.ai_levels[0], names):
            both = sum(
                label in holds(row, "ai_values") and column in holds(row, facet)
                for row in subjective
            )
            assert observed.get((label, facet, column), 0) == both


@settings(max_examples=60, deadline=None)
@given(rows)
def test_mirroring_counts_conversations_with_a_label_on_both_sides(found):
    merged = count_block(ConversationBlock.of(*tables(found), VOCABULARY))
    table = compute(merged, {}, VOCABULARY, 0.05)["mirroring"].to_pylist()
    for row in (r for r in table if r["level"] == 0):
        of_type = [
            c
            for c in found
            if c["is_subjective"]
            and c["response_type"] == row["response_type"]
            and holds(c, "human_values")
        ]
        assert row["conversations"] == len(of_type)
        mirrored = sum(bool(holds(c, "human_values") & holds(c, "ai_values")) for c in of_type)
        assert row["mirrored"] == mirrored


@settings(max_examples=40, deadline=None)
@given(rows, st.lists(st.integers(0, 30), max_size=3), st.randoms())
def test_any_blocks_in_any_order_give_the_same_tables(found, cuts, random):
    whole = compute(
        count_block(ConversationBlock.of(*tables(found), VOCABULARY)), {}, VOCABULARY, 0.05
    )
    edges = sorted({0, len(found), *(min(cut, len(found)) for cut in cuts)})
    blocks = [found[a:b] for a, b in pairwise(edges)] or [found]
    random.shuffle(blocks)
    merged = {}
    for block in blocks:
        merged = add(merged, count_block(ConversationBlock.of(*tables(block), VOCABULARY)))
    assert compute(merged, {}, VOCABULARY, 0.05) == whole


def test_response_types_have_shares_over_all_assistants_and_for_each():
    found = [
        {"is_subjective": True, "ai_values": [], "human_values": [], "task": None,
         "response_type": kind, "model": model}
        for kind, model in (("reframing", "m"), ("reframing", None), ("no_values", "n"))
    ]  # fmt: skip
    merged = count_block(ConversationBlock.of(*tables(found), VOCABULARY))
    table = compute(merged, {}, VOCABULARY, 0.05)["response_types"].to_pylist()
    shares = {
        (r["model"], r["response_type"]): r["share"] for r in table if r["over_facet"] is None
    }
    assert shares[None, "reframing"] == pytest.approx(2 / 3)
    assert shares["m", "reframing"] == 1.0
    assert shares["n", "reframing"] == 0.0


def test_no_labels_no_tasks_and_no_assistants_give_empty_tables_and_no_error():
    none = {"ai_values": [], "human_values": []}
    empty = Codebook(none, {facet: {} for facet in none}, [[]], [np.zeros(0, np.int32)], [], [])
    made = compute(count_block(ConversationBlock.of(*tables([]), empty)), {}, empty, 0.05)
    assert made["associations"].num_rows == 0
    assert made["variation"].num_rows == 0
    assert all(row["conversations"] == 0 for row in made["mirroring"].to_pylist())


def test_adding_to_a_total_gives_the_same_and_leaves_nothing_behind():
    row = {"is_subjective": True, "model": "m", "task": None, "human_values": []}
    row |= {"response_type": None}
    found = [row | {"ai_values": ["care"]}, row | {"ai_values": ["care", "clarity"]}]
    blocks = [ConversationBlock.of(*tables(some), VOCABULARY) for some in (found, found[:1])]
    one, other = (count_block(block) for block in blocks)
    total: dict = {}
    expected = add(one, other)
    for partial in (one, other):
        add_to(total, partial)
        assert not partial
    assert compute(total, {}, VOCABULARY, 0.05) == compute(expected, {}, VOCABULARY, 0.05)
