"""A name by a model has no word of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitw_ray.taxonomy.naming.known_words import GENERAL, is_of_known_words, words_of

LABELS = ("intellectual honesty", "careful listening", "end-of-life autonomy")
KNOWN = words_of(LABELS)


@pytest.mark.parametrize(
    "name", ["Honesty and listening", "Intellectual autonomy", "Values of care", "Honest listener"]
)
def test_a_name_of_the_words_of_labels_fits(name):
    assert is_of_known_words(name, KNOWN)


@pytest.mark.parametrize("name", ["Zorblax", "Honesty of zorblax", "Honesty-zorblax", "Honestyzor"])
def test_another_word_does_not(name):
    assert not is_of_known_words(name, KNOWN)


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=9, max_size=20))
def test_no_secret_is_taken_for_a_form_of_a_label(secret):
    if secret not in GENERAL and not any(secret.startswith(stem) for stem in KNOWN):
        assert not is_of_known_words(f"Honesty of {secret}", KNOWN)
