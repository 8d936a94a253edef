"""Prompts equal the rendered chat template, and their shared head fills whole cache blocks."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import pytest
from chat_cases import NAMES, Case, case_of, encoder_of
from hypothesis import given
from hypothesis import strategies as st
from naughty_strings import naughty_strings
from tokenizer_families import Family

from vitw_ray.config import ExtractionConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extraction.questions import questions_for
from vitw_ray.inference.chat_prompt import PromptEncoder
from vitw_ray.inference.question import FENCE, closing, conversation_turns, opening, turn_mark
from vitw_ray.records import Message

ONE_PASS = questions_for(ExtractionConfig(questions="one_pass")).all[0]
TURNS = conversation_turns([Message("user", "How are letters?"), Message("assistant", "Fine.")])


@pytest.fixture(scope="module", params=NAMES)
def case(request) -> Case:
    return case_of(request.param)


@pytest.fixture
def on_new_year(monkeypatch) -> None:
    """Make transformers use the fixed date of our prompts."""

    class NewYear(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2025, 1, 1)

    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", NewYear)


def _rendered(family: Family, tokenize: bool = False):
    """The same contents rendered by transformers."""
    system = ONE_PASS.before
    body = "".join(mark + content for mark, content in TURNS)
    user = FENCE + body + closing(ONE_PASS)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    if family.name in ("gemma", "unigram"):  # they have no system role
        messages = [{"role": "user", "content": f"{system}\n\n{user}"}]
    text = family.tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, **family.template_kwargs
    )
    text += family.answer_prefix
    return family.tokenizer.encode(text, add_special_tokens=False) if tokenize else text


def _prompt(encoder: PromptEncoder) -> list[int]:
    return encoder.frame(ONE_PASS).prompt(encoder.body(TURNS))


def test_a_prompt_equals_the_rendered_chat_template(case, on_new_year):
    unpadded = encoder_of(case.family, block_size=1)
    assert case.family.decode(_prompt(unpadded)) == case.family.normalized(_rendered(case.family))


def test_a_prompt_has_all_control_tokens_of_the_template_in_order(case, on_new_year):
    control = case.encoder.control_ids
    expected = [index for index in _rendered(case.family, tokenize=True) if index in control]
    assert [index for index in _prompt(case.encoder) if index in control] == expected
    assert len(expected) >= 3


def test_instructions_and_marks_give_no_control_tokens(case):
    words = " ".join(case.family.control_words)
    question = type(ONE_PASS)("hostile", words, words, ONE_PASS.answer)
    calm = type(ONE_PASS)("calm", "a", "b", ONE_PASS.answer)

    def control(asked):
        prompt = case.encoder.frame(asked).prompt(case.encoder.body([(words, words)]))
        return [index for index in prompt if index in case.encoder.control_ids]

    assert control(question) == control(calm)


def test_prompts_do_not_depend_on_the_date(case, monkeypatch):
    class Leap(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2032, 2, 29)

    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Leap)
    assert encoder_of(case.family).frame(ONE_PASS) == case.encoder.frame(ONE_PASS)


def test_the_shared_head_is_padded_to_whole_blocks_with_line_breaks_after_the_instructions(case):
    bare = encoder_of(case.family, block_size=1)
    for question in _all_questions():
        plain = bare.frame(question)
        for block_size in (16, 32, 100):
            frame = encoder_of(case.family, block_size).frame(question)
            added = len(frame.head) - len(plain.head)
            assert len(frame.head) % block_size == 0
            assert 0 <= added < block_size
            text = case.family.decode(frame.head)
            wanted = question.before + "\n" * added
            assert case.family.normalized(wanted) in text
            assert text.replace(wanted, question.before) == case.family.decode(plain.head)
            assert frame.tail == plain.tail


def _all_questions():
    separate = questions_for(ExtractionConfig(questions="separate"))
    return [ONE_PASS, *separate.all]


def test_separate_questions_share_their_head(case):
    separate = questions_for(ExtractionConfig(questions="separate")).all
    frames = [case.encoder.frame(question) for question in separate]
    assert all(one.head == other.head for one, other in pairwise(frames))
    assert len({frame.tail for frame in frames}) == len(separate)


def test_questions_that_begin_alike_keep_their_own_openings():
    encoder = encoder_of(case_of(NAMES[0]).family)
    asked = [replace(ONE_PASS, opening=opening) for opening in ("", "{", "")]
    tails = [encoder.frame(question).tail for question in asked]
    assert tails[0] == tails[2] != tails[1]


def test_the_text_around_a_conversation_is_the_questions(case):
    unpadded = encoder_of(case.family, block_size=1)
    frame = unpadded.frame(ONE_PASS)
    assert case.family.decode(frame.head).endswith(FENCE)
    assert closing(ONE_PASS) in case.family.decode([*unpadded.encode("."), *frame.tail])
    if case.family.name in ("gemma", "unigram", "mistral"):  # no control token in between
        assert opening(ONE_PASS) in case.family.decode(frame.head)


@given(contents=st.lists(st.text(), max_size=5))
def test_token_counts_add_up(case, contents):
    turns = [(turn_mark("user"), content) for content in contents]
    parts = [part for turn in turns for part in turn]
    assert len(case.encoder.body(turns)) == sum(map(case.encoder.count, parts))
    assert case.encoder.body(turns) == [
        index for part in parts for index in case.encoder.encode(part)
    ]


def test_encoding_in_many_threads_gives_the_same_ids(case):
    texts = [text for text in naughty_strings() if len(text) < 500]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(case.encoder.encode, texts)) == list(map(case.encoder.encode, texts))


def test_template_variables_are_passed_to_the_template():
    chatml = case_of("chatml").family
    silent = PromptEncoder(chatml.tokenizer, {"enable_thinking": False}).frame(ONE_PASS)
    thinking = PromptEncoder(chatml.tokenizer).frame(ONE_PASS)
    assert chatml.decode(silent.tail) == chatml.decode(thinking.tail) + "<think>\n\n</think>\n\n"


def test_a_model_without_a_chat_template_is_reported_with_a_fix():
    from transformers import PreTrainedTokenizerFast

    backend = case_of("chatml").family.tokenizer.backend_tokenizer
    bare = PreTrainedTokenizerFast(tokenizer_object=backend, name_or_path="some/base-model")
    with pytest.raises(ConfigError, match="'some/base-model' has no chat template") as failure:
        PromptEncoder(bare)
    assert "instruction-tuned" in failure.value.fix


def test_a_slow_tokenizer_is_reported():
    from transformers import ByT5Tokenizer

    slow = ByT5Tokenizer(name_or_path="some/bytes")
    with pytest.raises(ConfigError, match="'some/bytes' has no fast tokenizer"):
        PromptEncoder(slow)


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "hello", "{{ 1 + 'a' }}"])
def test_a_template_that_does_not_render_the_messages_is_rejected(template):
    from transformers import PreTrainedTokenizerFast

    backend = case_of("chatml").family.tokenizer.backend_tokenizer
    broken = PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=template)
    with pytest.raises(ConfigError, match="has a chat template that fails"):
        PromptEncoder(broken)


def test_tokenizers_that_cannot_encode_every_text_are_rejected():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    letters = {"<unk>": 0, "a": 1, "\n": 2}
    for model in (
        models.BPE(letters, [], unk_token="<unk>"),
        models.Unigram([(letter, 0.0) for letter in letters], unk_id=0),
        models.WordLevel(letters, unk_token="<unk>"),
    ):
        template = "{{ messages[0].content }}{{ messages[1].content }}"
        lossy = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(model), unk_token="<unk>", chat_template=template
        )
        with pytest.raises(ConfigError, match=r"cannot encode every text|not BPE or Unigram"):
            PromptEncoder(lossy)
