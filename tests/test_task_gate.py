"""What one person writes as a task is in no public name, and clusters of few are merged."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.config import LabelsConfig
from vitw_ray.gate import Support, may_be_shown, shown_beside_the_rest
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.hierarchy import nodes_of_leaves
from vitw_ray.taxonomy.task_naming import merged, name_levels
from vitw_ray.taxonomy.task_passes import count_support, look_at_members, score_phrases
from vitw_ray.taxonomy.task_support import Gate, Gated, SupportCounts, merge_rare
from vitw_ray.taxonomy.vectors.vector_files import Share, TextBlock, write_vectors

THRESHOLDS = LabelsConfig(min_conversations=4, min_accounts=2)


@st.composite
def trees(draw):
    """Levels over some tasks, with conversations of few accounts."""
    leaves = draw(st.integers(1, 12))
    middle = draw(st.integers(1, leaves))
    top = draw(st.integers(1, middle))
    levels = [
        np.array([*range(middle), *draw(_numbers(middle, leaves - middle))], np.int32),
        np.array([*range(top), *draw(_numbers(top, middle - top))], np.int32),
    ]
    conversations = np.array(draw(st.lists(st.integers(1, 5), min_size=leaves, max_size=leaves)))
    people = [
        (task, account)
        for task, n in enumerate(conversations.tolist())
        for account in draw(st.lists(st.integers(0, 3), min_size=1, max_size=n))
    ]
    owners, accounts = np.array(sorted(set(people)), np.int64).T
    return levels, conversations, owners, accounts, draw(st.booleans())


def support_of(nodes, conversations, owners, accounts, gate):
    """The support of some clusters of these tasks."""
    nodes = nodes.astype(np.int64)
    return SupportCounts.of(nodes, conversations, nodes[owners], accounts, gate.most)


def _numbers(below, size):
    return st.lists(st.integers(0, below - 1), min_size=size, max_size=size)


@settings(deadline=None)
@given(trees())
def test_every_cluster_of_tasks_passes_and_none_is_lost(given_tree):
    levels, *of_tasks, known = given_tree
    gate = Gate(THRESHOLDS, known)
    gated = merge_rare(levels[1:], support_of(levels[0], *of_tasks, gate), gate)
    total = int(of_tasks[0].sum())
    if gated is None:
        people = len(set(of_tasks[2].tolist())) if known else None
        assert not may_be_shown(total, people, THRESHOLDS)
        return
    for nodes in nodes_of_leaves([gated.lowest[levels[0]], *gated.upper]):
        assert set(nodes.tolist()) == set(range(nodes.max() + 1))
        support = support_of(nodes, *of_tasks, gate)
        assert support.conversations.sum() == total
        assert len(support.passing(gate)) == nodes.max() + 1


@settings(deadline=None)
@given(trees())
def test_a_cluster_that_passes_beside_others_that_pass_stays_as_it_is(given_tree):
    levels, *of_tasks, known = given_tree
    every = Gate(LabelsConfig(min_conversations=1, min_accounts=1), known)
    gated = merge_rare(levels[1:], support_of(levels[0], *of_tasks, every), every)
    assert gated is not None
    assert not any(gated.merged)
    after = nodes_of_leaves([gated.lowest[levels[0]], *gated.upper])
    for one, other in zip(nodes_of_leaves(levels), after, strict=True):
        assert len(set(zip(one.tolist(), other.tolist(), strict=True))) == one.max() + 1


def share_of(folder, tasks):
    """A share of one block; `tasks`: conversations and accounts of each text."""
    (folder / "private").mkdir()
    storage = Storage(str(folder))
    block = TextBlock("tasks", 0, len(tasks), "private/t", "private/v")
    columns = {
        "text": list(tasks),
        "conversations": [conversations for conversations, _ in tasks.values()],
        "accounts": [sorted(people)[: THRESHOLDS.min_accounts] for _, people in tasks.values()],
    }
    types = pa.string(), pa.int64(), pa.list_(pa.int64())
    arrays = [pa.array(c, t) for c, t in zip(columns.values(), types, strict=True)]
    pq.write_table(pa.table(arrays, list(columns)), f"{folder}/private/t")
    write_vectors(storage, block.vector_path, np.eye(len(tasks), dtype=np.float32))
    return Share(storage, (block,))


def public_of(folder, tasks):
    """What one cluster of all these tasks shows: phrases, words, and its name and description."""
    share, gate = share_of(folder, tasks), Gate(THRESHOLDS, known=True)
    one = np.zeros(len(tasks), np.int32)
    words = count_support(share, one, gate.most)[0].passing(gate)
    members = look_at_members(share, one, 1, words, gate, np.empty(0, np.int64))
    found = merged([members], len(words))
    of_rows = one[members.rows]
    cosines = score_phrases(share, members.rows, [of_rows], found.centres([]))
    phrases = list(zip(members.phrases, members.conversations.tolist(), strict=True))
    gated = Gated(np.zeros(1, np.int32), [], [set()])
    names = name_levels(found, gated, phrases, of_rows, cosines, gate.thresholds.min_conversations)
    return set(members.phrases), set(members.words.values()), names[0][0]


def test_secrets_of_one_account_are_in_no_name(tmp_path):
    secrets = [f"plan the surprise of {word}" for word in ("zorblax", "quindle", "mevorty")]
    shared = ["plan a holiday", "plan a surprise"]
    tasks = {secret: (6, {9}) for secret in secrets} | {text: (4, {0, 1, 2, 3}) for text in shared}
    phrases, words, named = public_of(tmp_path, tasks)
    assert phrases == set(shared)
    assert words == {"plan", "holiday", "surprise"}
    public = " ".join(named).lower()
    assert "holiday" in public
    assert not any(secret.split()[-1] in public for secret in secrets)


def test_words_of_one_account_name_nothing_even_when_no_phrase_is_shared(tmp_path):
    places = ("noon", "dawn", "dusk", "night")
    tasks = {f"hunt the zorblax at {place}": (1, {7}) for place in places}
    named = public_of(tmp_path, tasks)[2]
    assert named == ("Other tasks A", "Tasks too rare, one by one, to be shown.")


@given(st.lists(st.tuples(st.integers(1, 9), st.sets(st.integers(0, 9), max_size=4)), max_size=8))
def test_what_is_merged_passes_together_unless_nothing_is_shown(groups):
    conversations, accounts = [n for n, _ in groups], [found for _, found in groups]
    shown = shown_beside_the_rest(conversations, accounts, THRESHOLDS)
    rest = [n for n, one in enumerate(shown) if not one]
    alone = may_be_shown(conversations, [len(found) for found in accounts], THRESHOLDS)
    assert all(alone[n] for n, one in enumerate(shown) if one)
    if rest and any(shown):
        together = len(set().union(*(accounts[n] for n in rest)))
        assert may_be_shown(sum(conversations[n] for n in rest), together, THRESHOLDS)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([None, "x", "y", "z"])), max_size=30),
    st.integers(0, 30),
)
def test_support_does_not_depend_on_how_it_was_counted(rows, at):
    def counted(some):
        found = Support[str](2)
        for name, account in some:
            found.count(name, account)
        return found

    whole, first = counted(rows), counted(rows[:at]).add(counted(rows[at:]))
    exact = {a: {x for n, x in rows if n == a and x} for a, _ in rows}
    for name in exact:
        assert first.conversations[name] == whole.conversations[name]
        assert len(first.accounts[name]) == min(2, len(exact[name]))


@pytest.mark.parametrize(("accounts", "passes"), [(None, True), (2, True), (1, False)])
def test_accounts_count_only_where_a_run_knows_any(accounts, passes):
    assert may_be_shown(4, accounts, THRESHOLDS) == passes
    assert not may_be_shown(3, accounts, THRESHOLDS)
