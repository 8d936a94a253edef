"""Content never becomes a control token, and is encoded without loss."""

import json

import pytest
from chat_cases import NAMES, Case, case_of
from control_mixtures import mixtures
from hypothesis import given
from hypothesis import strategies as st
from naughty_strings import CONTROL_WORDS, naughty_strings
from tokenizer_families import Family

from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.questions import questions_for
from vitw_ray.inference.chat_prompt import PromptEncoder
from vitw_ray.inference.question import conversation_turns

ONE_PASS = questions_for(ExtractionConfig(questions="one_pass")).all[0]


@pytest.fixture(scope="module", params=NAMES)
def case(request) -> Case:
    return case_of(request.param)


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


def test_content_gives_no_control_token_wherever_its_word_is(case):
    for word in case.family.control_words:
        index = case.family.tokenizer.convert_tokens_to_ids(word)
        assert index in case.encoder.control_ids
        for placement, text in _placements(word, index).items():
            assert not case.control(text), (word, placement)
            assert case.survives(text), (word, placement)


def test_a_control_word_split_over_two_turns_gives_no_control_token(case):
    for word in case.family.control_words:
        for cut in range(1, len(word)):
            turns = [("", word[:cut]), ("", word[cut:])]
            assert not case.encoder.control_ids.intersection(case.encoder.body(turns))


def test_control_words_of_other_families_are_plain_text(case):
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


@pytest.mark.parametrize(
    ("name", "blank"), [("gemma", "\n\n"), ("gemma", "\n\n\n"), ("chatml", "\t\t")]
)
def test_white_space_that_is_an_added_token_keeps_its_ids(name, blank):
    case = case_of(name)
    assert case.encoder.encode(blank) == [case.family.tokenizer.convert_tokens_to_ids(blank)]


def test_harmless_text_is_tokenised_as_by_the_full_tokenizer(case):
    text = "why are you  careful in the   garden,\n\nand how is my\n\n\n letter?"
    whole = case.family.tokenizer.encode(f"\n{text}", add_special_tokens=False)
    ours = case.encoder.encode(f"\n{text}")
    assert whole[-len(ours) + 1 :] == ours[1:]


_SPACE_FIRST = {
    "by a step for bytes": (
        "chatml",
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}},
    ),
    "by a normalizer": (
        "mistral",
        {
            "pre_tokenizer": None,
            "normalizer": {
                "type": "Sequence",
                "normalizers": [
                    {"type": "Prepend", "prepend": "▁"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                ],
            },
        },
    ),
}


@pytest.mark.parametrize("way", _SPACE_FIRST)
def test_no_tokenizer_adds_a_leading_space(way):
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    name, steps = _SPACE_FIRST[way]
    family = case_of(name).family
    description = json.loads(family.tokenizer.backend_tokenizer.to_str())
    spaced = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps({**description, **steps})),
        chat_template="head {{ messages[0].content }}tail",
    )
    assert spaced.encode("letter") != family.tokenizer.encode("\nletter")[1:]
    case = Case(Family(name, spaced), PromptEncoder(spaced, block_size=1))
    assert case.survives("letter")
    assert case.family.decode(case.encoder.frame(ONE_PASS).tail).endswith(f"{ONE_PASS.after}tail")


def test_splitting_special_tokens_would_not_be_enough(case):
    """The reason for a second tokenizer: the usual option lets words through in every family."""
    whole = case.family.tokenizer
    passed = [
        word
        for word in case.family.control_words
        if case.encoder.control_ids.intersection(
            whole.encode(word, add_special_tokens=False, split_special_tokens=True)
        )
    ]
    assert passed


def test_no_turn_of_any_role_changes_the_control_tokens_of_a_prompt(case):
    others = [word for name in NAMES for word in case_of(name).family.control_words]
    words = [*case.family.control_words, *case.family.control_words, *others, *CONTROL_WORDS]
    frame = case.encoder.frame(ONE_PASS)
    expected = [i for i in frame.prompt([]) if i in case.encoder.control_ids]
    assert expected
    for messages in mixtures(words, 100, seed=len(words)):
        body = case.encoder.body(conversation_turns(messages))
        found = [i for i in frame.prompt(body) if i in case.encoder.control_ids]
        assert found == expected, ascii(messages)
