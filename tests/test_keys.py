import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitw_ray.config import ConversationsConfig
from vitw_ray.keys import (
    RING_BITS,
    Keyed,
    canonical_json,
    digest_of_files,
    id_hash,
    message_bytes,
    range_bounds,
)
from vitw_ray.records import Message

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.integers(1, 5000), texts)
def test_every_id_is_in_exactly_one_range(ranges, identity):
    place = id_hash(identity)
    inside = [n for n in {place * ranges >> RING_BITS} if n < ranges]
    low, high = range_bounds(inside[0], ranges)
    assert low <= place < high
    assert range_bounds(0, ranges)[0] == 0
    assert range_bounds(ranges - 1, ranges)[1] == 1 << RING_BITS


@given(st.lists(st.tuples(texts, texts), max_size=4), st.lists(st.tuples(texts, texts), max_size=4))
def test_two_conversations_have_the_same_bytes_only_if_they_are_equal(a, b):
    first = [Message("user", left + right) for left, right in a]
    second = [Message("user", left + right) for left, right in b]
    assert (message_bytes(first) == message_bytes(second)) == (first == second)


def test_moving_text_over_a_turn_boundary_changes_the_bytes():
    one = [Message("user", "ab"), Message("assistant", "c")]
    other = [Message("user", "a"), Message("assistant", "bc")]
    assert message_bytes(one) != message_bytes(other)


def test_a_keyed_hash_differs_by_secret_and_by_purpose():
    a, b = Keyed(b"one secret of many"), Keyed(b"another secret, longer")
    assert a.hex("account", b"x") == a.hex("account", b"x")
    assert len({a.hex("account", b"x"), a.hex("id", b"x"), b.hex("account", b"x")}) == 3
    assert a.fingerprint != b.fingerprint


def test_canonical_json_does_not_depend_on_the_order_of_keys_and_keeps_dates():
    config = ConversationsConfig(created_from="2025-02-18")  # type: ignore[arg-type]
    assert json.loads(canonical_json(config))["created_from"] == "2025-02-18"
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})


def test_a_value_that_cannot_be_part_of_a_key_is_refused():
    with pytest.raises(TypeError, match="object"):
        canonical_json({"x": object()})


@given(st.permutations([("part-0", "aa"), ("part-1", "bb"), ("part-2", "cc")]))
def test_a_tables_digest_does_not_depend_on_the_order_of_its_files(files):
    assert digest_of_files(files) == digest_of_files(sorted(files))
    assert digest_of_files(files) != digest_of_files(files[:2])
