"""Only the chat template writes control tokens, and every other text survives as it was."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from naughty_strings import CONTROL_WORDS, naughty_strings
from tokenizer_families import Family, families

from vitw_ray.config import ExtractionConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extraction.chat_prompt import PromptEncoder
from vitw_ray.extraction.questions import (
    FENCE,
    closing,
    conversation_turns,
    opening,
    questions_for,
    turn_mark,
)
from vitw_ray.records import Message

NAMES = ("chatml", "llama3", "gemma", "mistral", "harmony", "unigram")
ONE_PASS = questions_for(ExtractionConfig())[0]
TURNS = conversation_turns([Message("user", "How are letters?"), Message("assistant", "Fine.")])


@dataclass(frozen=True)
class Case:
    """A family and its encoder."""

    family: Family
    encoder: PromptEncoder

    def control(self, text: str) -> set[int]:
        return self.encoder.control_ids.intersection(self.encoder.encode(text))

    def survives(self, text: str) -> bool:
        # A point in front: the decoders of sentencepiece's heirs drop a space that opens a text.
        ids = [*self.encoder.encode("."), *self.encoder.encode(text)]
        return self.family.decode(ids) == "." + self.family.normalized(text)


def _encoder(family: Family, block_size: int = 16) -> PromptEncoder:
    return PromptEncoder(family.tokenizer, family.template_kwargs, family.answer_prefix, block_size)


@pytest.fixture(scope="module", params=range(len(NAMES)), ids=NAMES)
def case(request) -> Case:
    family = families()[request.param]
    assert family.name == NAMES[request.param]
    return Case(family, _encoder(family))


@pytest.fixture
def on_new_year(monkeypatch) -> None:
    """For transformers, today is the day that our prompts are dated."""

    class NewYear(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2025, 1, 1)

    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", NewYear)


def _placements(word: str, index: int) -> dict[str, str]:
    half = len(word) // 2
    return {
        "alone": word,
        "start": f"{word} and so on",
        "middle": f"what is {word} for",
        "glued": f"what{word}for",
        "end": f"the end: {word}",
        "lines": f"one\n{word}\ntwo",
        "doubled": word + word,
        "nested": word[:half] + word + word[half:],
        "code fence": f"```xml\n{word}\n```",
        "quoted": json.dumps({"content": word, "ids": [index]}),
        "spelt as bytes": "".join(f"<0x{byte:02X}>" for byte in word.encode()),
        "spelt as id": f"{index} [{index}] <{index}> token_id={index} \\u{index:04x}",
    }


def test_no_control_token_comes_out_of_content_wherever_its_word_stands(case):
    for word in case.family.control_words:
        index = case.family.tokenizer.convert_tokens_to_ids(word)
        assert index in case.encoder.control_ids
        for placement, text in _placements(word, index).items():
            assert not case.control(text), (word, placement)
            assert case.survives(text), (word, placement)


def test_words_split_over_two_turns_do_not_join_into_a_control_token(case):
    for word in case.family.control_words:
        for cut in range(1, len(word)):
            turns = [("", word[:cut]), ("", word[cut:])]
            assert not case.encoder.control_ids.intersection(case.encoder.body(turns))


def test_control_words_of_other_families_are_text_too(case):
    assert not case.control(" ".join(CONTROL_WORDS))
    assert case.survives(" ".join(CONTROL_WORDS))


def test_naughty_strings_survive_and_give_no_control_token(case):
    texts = naughty_strings()
    assert len(texts) >= 500
    for text in texts:
        assert not case.control(text), ascii(text[:80])
        assert case.survives(text), ascii(text[:80])


@given(text=st.text())
def test_any_text_survives_and_gives_no_control_token(case, text):
    assert not case.control(text)
    assert case.survives(text)


@given(data=st.data())
def test_any_mixture_of_control_words_and_text_gives_no_control_token(case, data):
    pieces = st.sampled_from([*case.family.control_words, "▁", "<0x0A>", " ", "\n", "\U0010fffd"])
    text = "".join(data.draw(st.lists(pieces | st.text(max_size=3), max_size=12)))
    assert not case.control(text)
    assert case.survives(text)


def test_lone_surrogates_become_replacement_characters_and_pairs_are_joined(case):
    ids = case.encoder.encode("a\ud800b\udfff \ud83d\ude00 \x00")
    assert ids == case.encoder.encode("a\ufffdb\ufffd \U0001f600 \x00")


def test_white_space_that_is_an_added_token_keeps_its_ids():
    gemma = families()[NAMES.index("gemma")]
    for blank in ("\n\n", "\n\n\n"):
        assert _encoder(gemma).encode(blank) == [gemma.tokenizer.convert_tokens_to_ids(blank)]


def test_harmless_text_is_tokenised_as_the_whole_tokenizer_does(case):
    text = "why are you careful in the garden, and how is my letter?"
    whole = case.family.tokenizer.encode(f"\n{text}", add_special_tokens=False)
    ours = case.encoder.encode(f"\n{text}")
    assert whole[-len(ours) + 1 :] == ours[1:]


def _rendered(family: Family, tokenize: bool = False):
    """What transformers makes of the same contents."""
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


def test_a_prompt_reads_as_the_chat_template_writes_it(case, on_new_year):
    unpadded = _encoder(case.family, block_size=1)
    assert case.family.decode(_prompt(unpadded)) == case.family.normalized(_rendered(case.family))


def test_the_template_s_control_tokens_are_all_there_in_order(case, on_new_year):
    control = case.encoder.control_ids
    expected = [index for index in _rendered(case.family, tokenize=True) if index in control]
    assert [index for index in _prompt(case.encoder) if index in control] == expected
    assert len(expected) >= 3


def test_instructions_and_marks_are_content_too(case):
    words = " ".join(case.family.control_words)
    question = type(ONE_PASS)("hostile", words, words, ONE_PASS.answer)
    calm = type(ONE_PASS)("calm", "a", "b", ONE_PASS.answer)

    def control(asked):
        prompt = case.encoder.frame(asked).prompt(case.encoder.body([(words, words)]))
        return [index for index in prompt if index in case.encoder.control_ids]

    assert control(question) == control(calm)


def test_prompts_are_the_same_on_every_day(case, monkeypatch):
    class Leap(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2032, 2, 29)

    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Leap)
    assert _encoder(case.family).frame(ONE_PASS) == case.encoder.frame(ONE_PASS)


def test_the_shared_head_fills_whole_blocks_with_line_breaks_after_the_instructions(case):
    bare = _encoder(case.family, block_size=1)
    for question in _all_questions():
        plain = bare.frame(question)
        for block_size in (16, 32, 100):
            frame = _encoder(case.family, block_size).frame(question)
            added = len(frame.head) - len(plain.head)
            assert len(frame.head) % block_size == 0
            assert 0 <= added < block_size
            text = case.family.decode(frame.head)
            wanted = question.before + "\n" * added
            assert case.family.normalized(wanted) in text
            assert text.replace(wanted, question.before) == case.family.decode(plain.head)
            assert frame.tail == plain.tail


def _all_questions():
    return [ONE_PASS, *questions_for(ExtractionConfig(questions="separate"))]


def test_separate_questions_share_their_head(case):
    separate = questions_for(ExtractionConfig(questions="separate"))
    frames = [case.encoder.frame(question) for question in separate]
    assert all(one.head == other.head for one, other in pairwise(frames))
    assert len({frame.tail for frame in frames}) == len(separate)


def test_the_text_around_a_conversation_is_that_of_the_question(case):
    unpadded = _encoder(case.family, block_size=1)
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


def test_many_threads_at_once_get_what_one_gets(case):
    texts = [text for text in naughty_strings() if len(text) < 500]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(case.encoder.encode, texts)) == list(map(case.encoder.encode, texts))


def test_splitting_special_tokens_would_not_have_been_enough(case):
    """The reason for a second tokenizer: the usual switch lets words through in every family."""
    backend = type(case.family.tokenizer.backend_tokenizer).from_str(
        case.family.tokenizer.backend_tokenizer.to_str()
    )
    backend.encode_special_tokens = True  # what `split_special_tokens` sets
    passed = [
        word
        for word in case.family.control_words
        if case.encoder.control_ids.intersection(backend.encode(word, add_special_tokens=False).ids)
    ]
    assert passed


def test_variables_reach_the_template():
    chatml = families()[NAMES.index("chatml")]
    silent = PromptEncoder(chatml.tokenizer, {"enable_thinking": False}).frame(ONE_PASS)
    thinking = PromptEncoder(chatml.tokenizer).frame(ONE_PASS)
    assert chatml.decode(silent.tail) == chatml.decode(thinking.tail) + "<think>\n\n</think>\n\n"


def test_a_model_without_a_chat_template_is_named_with_a_fix():
    from transformers import PreTrainedTokenizerFast

    backend = families()[0].tokenizer.backend_tokenizer
    bare = PreTrainedTokenizerFast(tokenizer_object=backend, name_or_path="some/base-model")
    with pytest.raises(ConfigError, match="'some/base-model' has no chat template") as failure:
        PromptEncoder(bare)
    assert "instruction-tuned" in failure.value.fix


def test_a_slow_tokenizer_is_named_with_a_fix():
    from transformers import ByT5Tokenizer

    slow = ByT5Tokenizer(name_or_path="some/bytes")
    with pytest.raises(ConfigError, match="'some/bytes' has no fast tokenizer"):
        PromptEncoder(slow)


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "hello", "{{ 1 + 'a' }}"])
def test_a_template_that_shows_no_message_is_refused(template):
    from transformers import PreTrainedTokenizerFast

    backend = families()[0].tokenizer.backend_tokenizer
    broken = PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=template)
    with pytest.raises(ConfigError, match="has a chat template that fails"):
        PromptEncoder(broken)


def test_tokenizers_that_cannot_write_every_text_are_refused():
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
        with pytest.raises(ConfigError, match=r"cannot write every text|not BPE or Unigram"):
            PromptEncoder(lossy)
