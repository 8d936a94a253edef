"""What one person writes as a task is in no public name, and clusters of few are merged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.config import LabelsConfig
from vitw_ray.gate import Support, may_be_shown, shown_beside_the_rest
from vitw_ray.taxonomy.hierarchy import nodes_of_leaves
from vitw_ray.taxonomy.naming.member_naming import Public, name_clusters
from vitw_ray.taxonomy.task_support import TaskSupport, merge_rare

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
    texts = [f"task {chr(97 + n)}" for n in range(leaves)]
    columns = np.array(sorted(set(people)), np.int64).T
    known = draw(st.booleans())
    pairs = (columns[0], columns[1]) if known else None
    return levels, TaskSupport(texts, conversations, THRESHOLDS, pairs)


def _numbers(below, size):
    return st.lists(st.integers(0, below - 1), min_size=size, max_size=size)


@settings(deadline=None)
@given(trees())
def test_every_cluster_of_tasks_passes_and_none_is_lost(given_tree):
    levels, support = given_tree
    gated = merge_rare(levels, support)
    total = int(support.conversations.sum())
    if gated is None:
        people = None if support.pairs is None else len(set(support.pairs[1].tolist()))
        assert not may_be_shown(total, people, THRESHOLDS)
        return
    for nodes in nodes_of_leaves(gated.levels):
        assert set(nodes.tolist()) == set(range(nodes.max() + 1))
        conversations, accounts = support.of_nodes(nodes)
        assert sum(conversations) == total
        sizes = None if accounts is None else [len(found) for found in accounts]
        assert may_be_shown(conversations, sizes, THRESHOLDS).all()


@settings(deadline=None)
@given(trees())
def test_a_cluster_that_passes_beside_others_that_pass_stays_as_it_is(given_tree):
    levels, support = given_tree
    every = TaskSupport(
        support.texts,
        support.conversations,
        LabelsConfig(min_conversations=1, min_accounts=1),
        support.pairs,
    )
    gated = merge_rare(levels, every)
    assert gated is not None
    assert not any(gated.merged)
    kept = zip(nodes_of_leaves(levels), nodes_of_leaves(gated.levels), strict=True)
    for before, after in kept:
        assert len(set(zip(before.tolist(), after.tolist(), strict=True))) == before.max() + 1


def test_secrets_of_one_account_are_in_no_name():
    secrets = [f"plan the surprise of {word}" for word in ("zorblax", "quindle", "mevorty")]
    shared = ["plan a holiday", "plan a surprise"]
    texts = [*secrets, *shared]
    conversations = np.array([6, 6, 6, 4, 4])
    people = [(0, 9), (1, 9), (2, 9), *((task, n) for task in (3, 4) for n in range(4))]
    columns = np.array(people).T
    support = TaskSupport(texts, conversations, THRESHOLDS, (columns[0], columns[1]))
    vectors = np.eye(5, dtype=np.float32)
    names = name_clusters(
        texts, vectors, conversations, np.zeros(5, np.int32), noun="tasks", min_conversations=4,
        public=Public(support.phrases, support.words),
    )  # fmt: skip
    assert support.phrases == set(shared)
    assert support.words == {"plan", "holiday", "surprise"}
    public = " ".join(names[0]).lower()
    assert "holiday" in public
    assert not any(secret.split()[-1] in public for secret in secrets)


def test_words_of_one_account_name_nothing_even_when_no_phrase_is_shared():
    texts = [f"hunt the zorblax at {place}" for place in ("noon", "dawn", "dusk", "night")]
    account = np.array([[0, 1, 2, 3], [7, 7, 7, 7]])
    support = TaskSupport(texts, np.ones(4, int), THRESHOLDS, (account[0], account[1]))
    named = name_clusters(
        texts, np.eye(4, dtype=np.float32), np.ones(4, int), np.zeros(4, np.int32),
        noun="tasks", min_conversations=4, public=Public(support.phrases, support.words),
    )  # fmt: skip
    assert named == [("Other tasks A", "Tasks too rare, one by one, to be shown.")]


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
