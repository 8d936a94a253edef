"""Names by members use only what may be shown, and are short, plain and unique."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.taxonomy.naming.member_naming import is_name, name_clusters

NAME = re.compile(r"[A-Z][A-Za-z ,'\-]*")


def named(phrases, conversations, clusters=None, vectors=None, **options):
    n = len(phrases)
    return name_clusters(
        phrases,
        np.ones((n, 2), np.float32) if vectors is None else np.asarray(vectors, np.float32),
        np.asarray(conversations, np.int64),
        np.zeros(n, np.int32) if clusters is None else np.asarray(clusters, np.int32),
        **({"noun": "values"} | options),
    )


def test_a_cluster_is_named_after_frequent_central_members():
    names = named(
        ["honesty", "truthfulness", "candour", "thrift"],
        [900, 800, 5, 1000],
        vectors=[[1, 0], [0.99, -0.14], [1, 0], [0, 1]],
    )
    assert names == [
        ("Honesty and truthfulness", "Values such as thrift, honesty, truthfulness and candour.")
    ]


def test_a_name_does_not_repeat_a_stem():
    assert named(["education", "educational value"], [10, 9])[0][0] == "Education"


def test_an_outlier_is_not_part_of_a_name():
    vectors = [[1, 0.1], [1, -0.1], [0.1, 1]]
    phrases = ["technical skill", "technical care", "transgression"]
    assert named(phrases, [90, 80, 1], vectors=vectors)[0][0] == "Technical skill"


def test_a_single_member_is_the_name():
    assert named(["self-trust"], [1]) == [("Self-trust", "Values such as self-trust.")]


def test_without_members_there_are_no_names():
    assert named([], [], vectors=np.empty((0, 2))) == []


def test_clusters_are_named_in_their_order():
    names = named(["wit", "zeal", "calm"], [1, 1, 1], clusters=[2, 0, 1])
    assert [name for name, _ in names] == ["Zeal", "Calm", "Wit"]


def test_the_order_of_members_does_not_matter():
    rng = np.random.default_rng(0)
    phrases = [f"{a} {b}" for a in ("calm", "kind", "open") for b in ("mind", "care", "work")]
    vectors, counts = rng.random((9, 4)), rng.integers(1, 99, 9)
    clusters = np.arange(9) % 2
    order = rng.permutation(9)
    assert named(phrases, counts, clusters, vectors) == named(
        [phrases[i] for i in order], counts[order], clusters[order], vectors[order]
    )


def test_a_task_phrase_is_shown_only_with_enough_conversations():
    phrases = ["write a cover letter", "fix the will of jane doe", "edit an essay"]
    ((name, description),) = named(phrases, [40, 14, 15], noun="tasks", min_conversations=15)
    assert name == "Write a cover letter and edit an essay"
    assert description == "Tasks such as write a cover letter and edit an essay."


def test_rare_task_phrases_show_only_their_common_words():
    phrases = [f"debug python code for {name}" for name in ("alice", "bob", "carol")]
    named_by_words = named(phrases, [6, 6, 6], noun="tasks", min_conversations=15)
    assert named_by_words == [("Code, debug and python", "Tasks about code, debug and python.")]


def test_words_are_counted_only_within_the_cluster():
    phrases = ["debug python code", "python snake care", "debug rust code"]
    names = named(phrases, [20, 3, 20], [0, 1, 0], noun="tasks", min_conversations=15)
    assert names[1] == ("Other tasks A", "Tasks too rare, one by one, to be shown.")


def test_clusters_without_common_words_are_lettered():
    rare = [f"q{i}" for i in range(28)]
    names = named(rare, [1] * 28, range(28), noun="tasks", min_conversations=2)
    letters = [name for name, _ in names]
    assert letters[:2] == ["Other tasks A", "Other tasks B"]
    assert letters[25:] == ["Other tasks Z", "Other tasks AA", "Other tasks AB"]


def test_clusters_with_the_same_words_get_different_names():
    phrases = ["python code one", "python code two", "python code three", "python code four"]
    names = [
        name
        for name, _ in named(phrases, [9] * 4, [0, 0, 1, 1], noun="tasks", min_conversations=15)
    ]
    assert names == ["Code and python", "Code"]


@pytest.mark.parametrize("phrase", ["route 66", "=cmd()", "naïveté", " ".join(["a"] * 11)])
def test_an_invalid_phrase_is_not_a_name(phrase):
    assert named([phrase, "calm"], [999, 1])[0][0] == "Calm"


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("Care", True),
        ("Candour about one's own limits, self-doubt", True),
        (" ".join(["Word"] * 10), True),
        (" ".join(["Word"] * 11), False),
        ("Route 66", False),
        ("Naïveté", False),
        ("=SUM", False),
        ("-Care", False),
        ("Care\n", False),
        ("Care  for others", False),
        ("Care ", False),
        ("", False),
    ],
)
def test_a_name_is_at_most_ten_plain_words(text, fits):
    assert is_name(text) is fits


@given(
    st.lists(
        st.text() | st.from_regex(r"[A-Za-z ,'\-]{1,60}", fullmatch=True), unique=True, min_size=1
    ),
    st.lists(st.from_regex(r"[A-Za-z ]{1,12}", fullmatch=True)),
    st.sampled_from(["values", "tasks"]),
    st.integers(1, 3),
)
def test_any_members_give_plain_unique_names_that_are_not_taken(phrases, taken, noun, least):
    n = len(phrases)
    clusters = np.arange(n, dtype=np.int32) % 4
    found = named(phrases, [2] * n, clusters, noun=noun, min_conversations=least, taken=taken)
    names = [name for name, _ in found]
    assert all(is_name(name) for name in names)
    assert len({name.casefold() for name in [*names, *taken]}) == len(names) + len(
        {name.casefold() for name in taken}
    )
    assert all(re.fullmatch(r"[A-Za-z ,'\-]+\.", description) for _, description in found)


VOCABULARY = "care code law essay python jane doe x9 4th naïve the of kind self-help"
WORDS = st.sampled_from(VOCABULARY.split())
PHRASES = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)


@settings(deadline=None)
@given(st.dictionaries(PHRASES, st.integers(1, 30), min_size=1, max_size=30), st.data())
def test_task_names_are_plain_short_unique_and_made_of_common_words(support, data):
    n, least = len(support), data.draw(st.integers(1, 40))
    clusters = data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    clusters = np.unique(clusters, return_inverse=True)[1]
    vectors = np.random.default_rng(0).standard_normal((n, 3))
    named_clusters = named(
        list(support),
        list(support.values()),
        clusters,
        vectors,
        noun="tasks",
        min_conversations=least,
    )
    assert len({name.casefold() for name, _ in named_clusters}) == clusters.max() + 1
    for cluster, (name, description) in enumerate(named_clusters):
        assert NAME.fullmatch(name)
        assert len(name.split()) <= 10
        assert "\n" not in description
        inside = {p: c for p, c in support.items() if clusters[list(support).index(p)] == cluster}
        allowed = {"and", "tasks", "such", "as", "about", "other", "too", "rare", "one", "by", "to"}
        allowed |= {"be", "shown", *name.split()[2:3]} if name.startswith("Other") else set()
        shown = {w.casefold() for w in re.findall(r"[\w'\-]+", f"{name} {description}")}
        for word in shown - {w.casefold() for w in allowed}:
            assert sum(c for p, c in inside.items() if word in p.split()) >= least
