"""All counts of stage 5 over one block, by name. Each is a monoid, and so is the dictionary.

Most cells of these matrices are 0, so workers send them compressed.
"""

import pickle
from typing import Any

import numpy as np
import pyarrow as pa

from vitw_ray.gate import Support
from vitw_ray.statistics.block import ConversationBlock
from vitw_ray.statistics.cell_accounts import UNKNOWN, CellAccounts
from vitw_ray.statistics.contingency import CodedFacet, Counts, GroupCounts, Integers
from vitw_ray.statistics.cooccurrence import PairCounts
from vitw_ray.statistics.mirroring import count_mirroring
from vitw_ray.statistics.replication import count_half, groups_in_halves
from vitw_ray.statistics.task_values import in_tasks, level_of

TASK_VALUES = "values x tasks and types"
HALF_OF_MODELS = "half: models: ai_0"
Partial = dict[str, Any]  # name -> a monoid


def add(a: Partial, b: Partial) -> Partial:
    """The sum of both; an empty dictionary is the zero."""
    if not a or not b:
        return a or b
    return {name: counts.add(b[name]) for name, counts in a.items()}


def add_to(total: Partial, found: Partial) -> None:
    """Add to a total what was found, which is empty afterwards: no matrix is there three times."""
    for name in list(found):
        counts = found.pop(name)
        total[name] = total[name].add(counts) if name in total else counts


def pack(partial: Partial) -> bytes:
    """Serialise and compress, to send to the driver."""
    data = pickle.dumps(partial, protocol=pickle.HIGHEST_PROTOCOL)
    size = len(data).to_bytes(8, "big")
    return size + pa.compress(data, codec="lz4_raw", asbytes=True)


def unpack(packed: bytes) -> Partial:
    """Inverse of `pack`."""
    size = int.from_bytes(packed[:8], "big")
    return pickle.loads(pa.decompress(packed[8:], size, codec="lz4_raw", asbytes=True))


def count_block(block: ConversationBlock, before: Partial | None = None) -> Partial:
    """Count one block. In cells that are full in those `before`, accounts are not counted."""
    n, kind, task, human = block.conversations, block.response_type, block.task, block.human
    partial: Partial = {
        "period support": _period_support(block),
        "types x models": Counts.of(kind, block.model, n),
        "types x tasks": Counts.of(kind, task, n),
        "types x human": Counts.of(kind, human, n),
        "types x stated": Counts.of(kind, block.stated, n),
        "human x tasks": Counts.of(human, task, n),
        "explicit x types": Counts.of(block.ai_explicit, kind, n),
        **{f"{facet} pairs": PairCounts.of(values) for facet, values in block.values.items()},
    }
    twins, compared = block.vocabulary.ai_twins_of_human, {"types": kind, "human": human}
    for level in range(len(block.vocabulary.ai_levels)):
        values = compared[f"ai_{level}"] = block.ai_at(level)
        partial[f"ai_{level} x tasks"] = Counts.of(values, task, n)
        partial[f"ai_{level} x human"] = Counts.of(values, human, n)
        partial[f"ai_{level} x types"] = Counts.of(values, kind, n)
        partial[f"mirroring_{level}"] = count_mirroring(
            human, values, twins(level), kind, task, block.group
        )
    values, pairs = _in_tasks(block)
    partial[TASK_VALUES] = Counts.of(values, pairs, n)
    half = block.first_half
    for name, column in (("tasks", task), ("human", human), ("types", kind)):
        partial[f"half: ai_0 x {name}"] = count_half(block.ai, column, half)
    groupings = {"models": block.by_task(block.model), "periods": block.by_task(block.period)}
    if block.vocabulary.languages:
        groupings["languages"] = block.language
        partial["language support"] = _language_support(block)
    for groups, group in groupings.items():
        for name, values in compared.items():
            if (groups, name) == ("models", "ai_0"):
                both, partial[HALF_OF_MODELS] = groups_in_halves(values, group, half)
            else:
                both = GroupCounts.of(values, group, n)
            partial[f"{groups}: {name}"] = both
    if block.vocabulary.thresholds.min_accounts > 1:
        partial |= _accounts(block, before or {})
    return partial


def _in_tasks(block: ConversationBlock) -> tuple[CodedFacet, CodedFacet]:
    """Values of the level of `task_values`, and pairs of a main task and a response type."""
    known = block.vocabulary
    values = block.ai_at(level_of([len(names) for names in known.ai_levels]))
    main = in_tasks(block.task, block.response_type, known.main_tasks, block.conversations)
    return values, main


def accounts_of(name: str) -> str:
    """The name of the accounts of a matrix."""
    return f"accounts of {name}"


def _accounts(block: ConversationBlock, before: Partial) -> Partial:
    """The accounts of the cells that are published, by the name of the matrix."""
    most, people = block.vocabulary.thresholds.min_accounts, block.people
    kind, task, human, explicit = block.response_type, block.task, block.human, block.ai_explicit
    pairs = {
        "types x models": (kind, block.model),
        "types x tasks": (kind, task),
        "types x human": (kind, human),
        "types x stated": (kind, block.stated),
        "explicit x types": (explicit, kind),
        "implicit x types": (block.ai_implicit, kind),
        TASK_VALUES: _in_tasks(block),
    }
    compared = {"types": kind, "human": human, "tasks": task}
    for level in range(len(block.vocabulary.ai_levels)):
        values = compared[f"ai_{level}"] = block.ai_at(level)
        columns = {"tasks": task, "human": human, "types": kind}
        pairs |= {f"ai_{level} x {name}": (values, column) for name, column in columns.items()}
    groupings = {"models": block.model, "periods": block.period}
    if block.vocabulary.languages:
        groupings["languages"] = block.language
    for groups, group in groupings.items():
        pairs |= {f"{groups}: {name}": (values, group) for name, values in compared.items()}
    codes = {"types": kind, "explicit": explicit, "implicit": block.ai_implicit}

    def full(name: str) -> Integers | None:
        known: CellAccounts | None = before.get(accounts_of(name))
        return None if known is None else known.full

    found = {
        name: CellAccounts.of_pairs(most, *pair, people, full(name)) for name, pair in pairs.items()
    }
    for facet, values in block.values.items():
        name = f"{facet} pairs"
        found[name] = CellAccounts.of_pairs(most, values, values, people, full(name), rising=True)
    for name, facet in codes.items():
        found[name] = CellAccounts.of_codes(most, facet, people, full(name))
    return {accounts_of(name): accounts for name, accounts in found.items()}


def _period_support(block: ConversationBlock) -> Support[int]:
    support = Support[int](block.vocabulary.thresholds.min_accounts)
    order = np.argsort(block.period.codes, kind="stable")
    codes, accounts = block.period.codes[order], block.accounts[block.period.rows[order]]
    names, starts = np.unique(codes, return_index=True)
    for name, some in zip(names.tolist(), np.split(accounts, starts[1:]), strict=False):
        support.add_all(name, some[some != UNKNOWN].tolist(), some.size)
    return support


def _language_support(block: ConversationBlock) -> Support[str]:
    support = Support[str](block.vocabulary.thresholds.min_accounts)
    columns = (block.table[name].to_pylist() for name in ("language", "account_id"))
    for language, account in zip(*columns, strict=True):
        if language is not None:
            support.count(language, account)
    return support
