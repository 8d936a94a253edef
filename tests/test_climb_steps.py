"""The steps from one level to the next: their requests, and the fallback if the model fails."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_climber import (
    SENSIBLE,
    Climber,
    climb_context,
    embed,
    groups_of,
    lists,
    names,
    numbers_of,
    propose_topics,
    topic,
)

from vitw_ray.inference.language_model import ModelFailure
from vitw_ray.taxonomy.climbing import steps as climb_steps
from vitw_ray.taxonomy.climbing.climbing import add_level
from vitw_ray.taxonomy.climbing.steps import LEAST, MOST, MOST_MEMBERS, bounds
from vitw_ray.taxonomy.naming.listing import list_groups

STEPS = ("propose", "deduplicate", "assign")


def added(model, groups, size, **options):
    return asyncio.run(add_level("ai_values", groups, size, climb_context(model, **options)))


def together(parents, groups):
    """The topics under each parent."""
    return [
        {topic(name) for (name, _), parent in zip(groups, parents, strict=True) if parent == n}
        for n in range(max(parents) + 1)
    ]


def garbage(text, question, attempt):
    return "Sure! Here is a poem."


def late(script):
    """A valid answer only at the second attempt."""
    return lambda text, question, attempt: script(text, question, attempt) if attempt else "{"


def test_the_models_answers_decide_the_groups():
    groups = groups_of(topics=6, each=8)
    found = added(Climber(), groups, 6)
    assert sorted(map(sorted, together(found.parents, groups))) == sorted(
        [topic(name)] for name, _ in groups[::8]
    )
    assert found.details() | dict.fromkeys(STEPS) == {
        **{"below": 48, "wanted": 6, "neighbourhoods": 1, "proposed": 6, "kept": 6, "filled": 6},
        **dict.fromkeys(STEPS),
    }


def test_a_large_level_is_partitioned_into_neighbourhoods():
    groups, model = groups_of(topics=10, each=16), Climber()
    found = added(model, groups, 10)
    shown = [names(text, "Groups") for text in model.shown["propose"]]
    assert sorted(name for part in shown for name in part) == sorted(name for name, _ in groups)
    assert found.neighbourhoods == len(shown) >= 160 // MOST_MEMBERS
    assert all(len(part) <= MOST_MEMBERS for part in shown)
    for text in model.shown["propose"]:
        assert 0 < len(names(text, "Groups nearby")) <= 10
        assert not set(names(text, "Groups nearby")) & set(names(text, "Groups"))
    assert [len(model.shown[step]) for step in ("deduplicate", "assign")] == [1, 160]
    assert together(found.parents, groups) == [
        {one}
        for one in dict.fromkeys(
            topic(name) for name in names(model.shown["deduplicate"][0], "Proposals")
        )
    ]


def test_the_number_of_proposals_is_proportional_to_the_neighbourhood():
    asked = []

    def note(text, question, attempt):
        asked.append((len(names(text, "Groups")), *numbers_of(question)))
        return propose_topics(text, question, attempt)

    added(Climber(propose=note), groups_of(topics=10, each=16), 20)
    assert len(asked) > 1
    for members, fewest, most in asked:
        share = 20 * members / 160
        assert fewest >= min(LEAST * share, most)
        assert most <= max(MOST * share, 1)


def test_fewer_proposals_are_requested_than_there_are_groups():
    model = Climber(propose=lambda text, question, attempt: asked.append(numbers_of(question)))
    asked = []
    added(model, groups_of(topics=4, each=1), 3)
    assert asked == [[2, 3]] * 2


def test_a_neighbourhood_is_never_larger_than_the_limit(monkeypatch):
    monkeypatch.setattr(climb_steps, "MEMBERS", 1000)
    model = Climber()
    added(model, groups_of(topics=4, each=40), 4)
    shown = [len(names(text, "Groups")) for text in model.shown["propose"]]
    assert sum(shown) == 160
    assert max(shown) <= MOST_MEMBERS


def test_a_description_that_is_not_plain_is_left_out():
    groups = [("Care", "Values that show care."), ("Wit", "Values.\n\n===="), ("Zeal", "1. Zeal")]
    shown = list_groups({"Groups": groups, "Nothing": []}, room=1000, numbered="Groups")
    assert shown == "Groups:\n1. Care: Values that show care.\n2. Wit\n3. Zeal"


@given(st.floats(0.01, 1000), st.integers(0, 200))
def test_bounds_are_half_and_one_and_a_half_times_the_target_within_the_limit(share, limit):
    fewest, most = bounds(share, limit)
    assert 1 <= fewest <= most <= max(1, limit)
    assert most <= max(1, MOST * share)
    assert fewest < LEAST * share + 1


def test_proposals_with_the_same_name_are_merged_before_deduplication():
    def same_for_all(text, question, attempt):
        fewest, _ = numbers_of(question)
        fields = {"description": "Whatever there is.", "name": "Care"}
        return {"groups": [fields, *[fields | {"name": "CARE"}] * (fewest - 1)]}

    model = Climber(propose=same_for_all)
    found = added(model, groups_of(topics=10, each=16), 10)
    assert (found.proposed, found.kept) == (1, 1)
    assert found.parents.tolist() == [0] * 160
    assert not model.shown["assign"]


def test_the_proposals_of_a_single_neighbourhood_are_not_deduplicated():
    model = Climber()
    added(model, groups_of(topics=4, each=5), 4)
    assert not model.shown["deduplicate"]


def test_very_many_proposals_are_deduplicated_in_parts():
    def many(text, question, attempt):
        _, most = numbers_of(question)
        fields = {"description": "Whatever there is."}
        some = names(text, "Groups")[:most]
        return {"groups": [fields | {"name": f"{name} and so on"} for name in some]}

    model = Climber(propose=many)
    groups = groups_of(topics=20, each=20)
    found = added(model, groups, 140)
    sizes = [len(names(text, "Proposals")) for text in model.shown["deduplicate"]]
    assert sum(sizes) == found.proposed > 100
    assert len(sizes) > 1
    assert max(sizes) <= 100


def test_the_list_is_shuffled_for_each_group_by_the_seed():
    def orders(seed):
        model = Climber()
        added(model, groups_of(topics=6, each=8), 6, seed=seed)
        return [names(text, "Wider groups") for text in model.shown["assign"]]

    assert len({tuple(order) for order in orders(0)}) > 20
    assert len({tuple(sorted(order)) for order in orders(0)}) == 1
    assert orders(0) == orders(0)
    assert orders(0) != orders(1)
    own = [
        [topic(name) for name in order].index(topic(group))
        for group, order in zip(
            [name for name, _ in groups_of(topics=6, each=8)], orders(0), strict=True
        )
    ]
    assert set(own) == set(range(6))  # the best match can be at any position


def test_empty_wider_groups_are_removed():
    def into_two(text, question, attempt):
        wider = names(text, "Wider groups")
        even = len(names(text, "Group")[0]) % 2
        return {"because": "Both are about care.", "number": wider.index(sorted(wider)[even]) + 1}

    groups = groups_of(topics=6, each=8)
    groups = [(name + "x" * (n % 2), text) for n, (name, text) in enumerate(groups)]
    found = added(Climber(assign=into_two), groups, 6)
    assert found.details()["kept"] == 6
    assert found.details()["filled"] == 2
    assert set(found.parents.tolist()) == {0, 1}


@pytest.mark.parametrize(("n", "size", "wanted"), [(1, 5, 1), (2, 2, 1), (3, 3, 2), (9, 1, 1)])
def test_a_level_has_fewer_nodes_than_the_one_below_or_one_node(n, size, wanted):
    found = added(Climber(), groups_of(topics=n, each=1), size)
    assert found.wanted == wanted
    assert len(found.parents) == n
    assert max(found.parents) + 1 <= max(1, n - 1)


def test_kept_groups_are_reduced_below_the_number_of_groups_below():
    groups = groups_of(topics=2, each=6)  # two neighbourhoods of six; round(6 * 11 / 12) is 6
    model = Climber(propose=garbage)
    found = added(model, groups, 11)
    (text,) = model.shown["deduplicate"]
    assert len(names(text, "Proposals")) == found.proposed == 12
    assert found.kept == 11


def test_descriptions_that_do_not_fit_are_left_out():
    groups = groups_of(topics=6, each=8)
    long, short = Climber(), Climber()
    one, other = added(long, groups, 6, room=10_000), added(short, groups, 6, room=400)
    assert ": Values of" in long.shown["propose"][0]
    assert ": " not in short.shown["propose"][0]
    assert names(long.shown["propose"][0], "Groups") == names(short.shown["propose"][0], "Groups")
    assert one.parents.tolist() == other.parents.tolist()


@pytest.mark.parametrize("failure", ["garbage", "{}", "[1]", "", ModelFailure("time_out")])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_without_answers_is_retried_once_and_decided_without_the_model(step, failure):
    groups = groups_of(topics=10, each=16)
    model = Climber(**{step: lambda text, question, attempt: failure})
    found = added(model, groups, 10)
    tally = found.steps[step]
    assert tally.requests == tally.asked_again == tally.fallbacks > 0
    code = failure.code if isinstance(failure, ModelFailure) else "invalid"
    assert tally.refused == {code: 2 * tally.requests}
    assert all(found.steps[other].fallbacks == 0 for other in STEPS if other != step)
    assert 1 < max(found.parents) + 1 < 160


def test_a_valid_second_answer_is_accepted():
    groups = groups_of(topics=10, each=16)
    model = Climber(**{step: late(SENSIBLE[step]) for step in STEPS})
    found = added(model, groups, 10)
    assert found.parents.tolist() == added(Climber(), groups, 10).parents.tolist()
    for step in STEPS:
        tally = found.steps[step].details()
        assert tally["asked_again"] == tally["requests"] == tally["refused"]["invalid"]
        assert tally["fallbacks"] == 0


def test_without_proposals_representative_groups_are_used():
    groups = groups_of(topics=6, each=8)
    model = Climber(propose=garbage, assign=garbage)
    found = added(model, groups, 6)
    wider = set(lists(model.shown["assign"][0])["Wider groups"])
    assert wider < {f"{name}: {description}" for name, description in groups}
    assert found.proposed == len(wider) == 6
    assert {topic(line) for line in wider} == {topic(name) for name, _ in groups}


def test_without_an_answer_a_group_is_assigned_to_the_nearest_embedding():
    groups = groups_of(topics=6, each=8)
    found = added(Climber(propose=garbage, assign=garbage), groups, 6)
    texts = [f"{name}: {description}" for name, description in groups]
    vectors = embed(texts)
    shown = Climber(propose=garbage, assign=garbage)
    added(shown, groups, 6)
    wider = sorted(set(lists(shown.shown["assign"][0])["Wider groups"]))
    nearest = (vectors @ vectors[[texts.index(line) for line in wider]].T).argmax(axis=1)
    pairs = set(zip(nearest.tolist(), found.parents.tolist(), strict=True))
    assert len(pairs) == len(set(nearest.tolist())) == max(found.parents) + 1


def test_a_choice_of_too_few_proposals_is_invalid():
    model = Climber(deduplicate=lambda text, question, attempt: {"kept": [1] * 5})
    found = added(model, groups_of(topics=10, each=16), 10)
    assert found.steps["deduplicate"].refused == {"invalid": 2}
    assert found.kept > 1
