"""Planted conversations: the truth that is drawn, the rendered text, the files."""

import gzip
import json
import re
import subprocess
import sys
import tracemalloc
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from math import sqrt
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

import vitw_ray.extraction
from vitw_ray.config import SAMPLE
from vitw_ray.errors import ConfigError
from vitw_ray.evaluation.planted import PlantedConfig, plant, write, write_rows
from vitw_ray.evaluation.planted_text import spelled_out, wording
from vitw_ray.evaluation.planted_truth import TEXTS
from vitw_ray.extraction.answers import Answer
from vitw_ray.records import CONVERSATIONS

ROOT = Path(__file__).resolve().parents[1]
MANY = PlantedConfig(conversations=20_000)
LANGUAGES = [language for language, _ in MANY.languages]


@pytest.fixture(scope="module")
def rows():
    return list(plant(MANY))


@pytest.fixture(scope="module")
def subjective(rows):
    return [(talk, truth) for talk, truth in rows if truth["subjectivity"] >= 3]


def labels(truth, facet):
    return {value["label"] for value in truth[facet]}


def within_chance(count, trials, rate):
    """Within 4.5 standard deviations of a binomial count: one test in 150,000 fails by chance."""
    return abs(count - trials * rate) <= 4.5 * sqrt(trials * rate * (1 - rate))


def lift(truths, has_a, has_b):
    """How much more frequent b is with a than overall."""
    with_a = [truth for truth in truths if has_a(truth)]
    share = sum(map(has_b, truths)) / len(truths)
    return sum(map(has_b, with_a)) / len(with_a) / share


# ---- rows


@settings(max_examples=30, deadline=None)
@given(start=st.integers(0, 900), length=st.integers(0, 20), size=st.integers(920, 10_000))
def test_a_row_depends_only_on_the_seed_and_its_index(rows, start, length, size):
    made = list(plant(PlantedConfig(conversations=size), start, start + length))
    assert made == rows[start : start + length]


def test_another_seed_gives_other_conversations(rows):
    other = [talk["messages"] for talk, _ in plant(PlantedConfig(seed=1), 0, 200)]
    assert not any(talk["messages"] in other for talk, _ in rows[:200])


def test_a_range_outside_the_set_is_rejected():
    with pytest.raises(ConfigError, match="rows 0 to 401 of 400"):
        next(plant(PlantedConfig(), 0, 401))


@pytest.mark.parametrize(
    ("field", "value"),
    [("conversations", 0), ("seed", -1), ("ai_value_counts", (0.1,) * 10)],
)
def test_an_invalid_setting_is_rejected_by_name(field, value):
    with pytest.raises(ConfigError, match=field.replace("_", "[-_]")):
        PlantedConfig(**{field: value})


def test_ids_are_unique_and_the_truth_has_the_same_ids(rows):
    assert [talk["conversation_id"] for talk, _ in rows] == [t["conversation_id"] for _, t in rows]
    assert len({talk["conversation_id"] for talk, _ in rows}) == len(rows)


def test_rows_fit_the_schema_of_conversations_and_the_week(rows):
    records = [
        talk | {"prompt_id": None, "created_at": datetime.fromisoformat(talk["created_at"])}
        for talk, _ in rows[:2000]
    ]
    pa.Table.from_pylist(records, CONVERSATIONS).validate(full=True)
    moments = [record["created_at"] for record in records]
    assert {moment.date() for moment in moments} == {
        MANY.first_day + timedelta(days=day) for day in range(7)
    }


def test_truths_are_valid_answers(rows):
    for _, truth in rows[:3000]:
        answer = {k: v for k, v in truth.items() if k != "conversation_id"}
        assert Answer.model_validate(answer).subjectivity == truth["subjectivity"]


def test_accounts_have_several_conversations_and_a_recurring_topic(rows):
    per_account = Counter(talk["account_id"] for talk, _ in rows)
    assert 2.5 < len(rows) / len(per_account) < 4.5
    assert max(per_account.values()) >= 10
    tasks: dict[str, list[str]] = {}
    for talk, truth in rows:
        if truth["subjectivity"] >= 3:
            tasks.setdefault(talk["account_id"], []).append(truth["task"])
    same = [a == b for own in tasks.values() for a, b in pairwise(own)]
    shuffled = [a == b for a, b in pairwise([own[0] for own in tasks.values()])]
    assert sum(same) / len(same) > 2 * sum(shuffled) / len(shuffled)


# ---- rates


def test_the_subjective_share_is_planted(rows, subjective):
    assert within_chance(len(subjective), len(rows), MANY.subjective_share)


@pytest.mark.parametrize(("kind", "rate"), MANY.response_rates)
def test_response_types_have_the_published_rates(subjective, kind, rate):
    found = sum(truth["response_type"] == kind for _, truth in subjective)
    assert within_chance(found, len(subjective), rate)


@pytest.mark.parametrize(("kind", "rate"), MANY.mirroring_rates)
def test_mirroring_has_its_rate_for_every_response_type(subjective, kind, rate):
    truths = [truth for _, truth in subjective if truth["response_type"] == kind]
    mirrored = sum(bool(labels(t, "ai_values") & labels(t, "human_values")) for t in truths)
    assert within_chance(mirrored, len(truths), rate)


def test_the_numbers_of_values_are_the_published_ones(subjective):
    truths = [truth for _, truth in subjective]
    none = sum(not truth["ai_values"] for truth in truths)
    stated = sum(any(value["explicit"] for value in t["human_values"]) for t in truths)
    assert within_chance(none, len(truths), 0.014)
    assert within_chance(stated, len(truths), 0.451)
    assert sum(len(t["ai_values"]) for t in truths) / len(truths) == pytest.approx(4.0, abs=0.1)
    assert sum(len(t["human_values"]) for t in truths) / len(truths) == pytest.approx(1.48, abs=0.1)


def test_a_user_has_values_exactly_if_there_is_a_response_type(rows):
    for _, truth in rows:
        if truth["subjectivity"] < 3:
            assert truth["response_type"] is None
            assert not truth["ai_values"]
        assert bool(truth["human_values"]) == (truth["response_type"] not in (None, "no_values"))


def test_models_and_languages_have_their_shares(rows):
    found = Counter(talk["model"] for talk, _ in rows) + Counter(t["language"] for t, _ in rows)
    for name, share in [*((m.name, m.share) for m in MANY.models), *MANY.languages]:
        assert within_chance(found[name], len(rows), share)


def test_ai_values_have_a_long_tailed_distribution(subjective):
    counts = Counter(label for _, truth in subjective for label in labels(truth, "ai_values"))
    falling = [count for _, count in counts.most_common()]
    assert 80 <= len(falling) <= 100
    assert sum(falling[:5]) > 0.2 * sum(falling)
    assert falling[-1] < falling[0] / 50


# ---- associations


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("give relationship advice", "healthy boundaries"),
        ("write a science-fiction scene together", "creative collaboration"),
        ("discuss a disputed episode of history", "historical accuracy"),
        ("discuss the ethics of automation", "human agency"),
    ],
)
def test_values_are_associated_with_tasks(subjective, task, value):
    truths = [truth for _, truth in subjective]
    assert lift(truths, lambda t: t["task"] == task, lambda t: value in labels(t, "ai_values")) > 4


@pytest.mark.parametrize(
    ("human", "ai"),
    [
        ("independence", "user autonomy"),
        ("privacy", "privacy protection"),
        ("revenge", "compassion"),
    ],
)
def test_ai_values_are_associated_with_human_values(subjective, human, ai):
    truths = [truth for _, truth in subjective]
    has_human, has_ai = (
        lambda t: human in labels(t, "human_values"),
        lambda t: ai in labels(t, "ai_values"),
    )
    assert lift(truths, has_human, has_ai) > 1.5


def test_strong_resistance_is_associated_with_rule_breaking_and_harm_prevention(subjective):
    truths = [truth for _, truth in subjective]
    resisted = lambda t: t["response_type"] == "strong_resistance"  # noqa: E731
    assert lift(truths, resisted, lambda t: "harm prevention" in labels(t, "ai_values")) > 5
    assert lift(truths, resisted, lambda t: "rule-breaking" in labels(t, "human_values")) > 5


def test_one_assistant_favours_values_and_none_favours_response_types(subjective):
    third = MANY.models[2]
    shares = {
        model.name: [
            bool(labels(truth, "ai_values") & set(third.favours))
            for talk, truth in subjective
            if talk["model"] == model.name
        ]
        for model in MANY.models
    }
    means = {name: sum(found) / len(found) for name, found in shares.items()}
    assert means[third.name] > 1.3 * max(means[model.name] for model in MANY.models[:2])
    counts = Counter((talk["model"], truth["response_type"]) for talk, truth in subjective)
    table = [[counts[m.name, kind] for kind, _ in MANY.response_rates] for m in MANY.models]
    assert chi2_contingency(table).pvalue > 1e-3


# ---- text


def test_turns_alternate_and_the_assistant_is_last(rows):
    lengths = Counter()
    for talk, _ in rows:
        roles = [message["role"] for message in talk["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        lengths[len(roles)] += 1
    assert set(lengths) == {2, 4, 6, 8, 10, 12}


def test_text_has_no_unfilled_template_parts(rows):
    """No slot or alternative remains, and no turn starts with a lower-case letter."""
    for talk, _ in rows:
        for message in talk["messages"]:
            text = message["content"]
            assert not re.search(r"[{}|]|\[(?![:\]0])", re.sub(r"`[^`]*`", "", text)), text
            assert not text[0].islower(), text


def pattern(template):
    """A template as a pattern that matches any filling."""
    return re.compile(".+?".join(map(re.escape, re.split(r"\{\w+\}", template))))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_planted_value_is_a_sentence_of_its_speaker(rows, language):
    words = wording(language)
    for talk, truth in [row for row in rows if row[0]["language"] == language][:400]:
        for role, facet in (("assistant", "ai_values"), ("user", "human_values")):
            text = "\n".join(m["content"] for m in talk["messages"] if m["role"] == role)
            for value in truth[facet]:
                sentences = getattr(words, facet)[value["label"]]
                chosen = sentences.said if value["explicit"] else sentences.shown
                assert any(pattern(sentence).search(text) for sentence in chosen), value


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_response_type_is_a_sentence_of_the_assistant(rows, language):
    stances = wording(language).stances
    valued = [
        (t, truth) for t, truth in rows if t["language"] == language and truth["human_values"]
    ]
    for talk, truth in valued[:400]:
        text = "\n".join(m["content"] for m in talk["messages"] if m["role"] == "assistant")
        assert any(pattern(stance).search(text) for stance in stances[truth["response_type"]])


def test_english_covers_everything_and_other_languages_a_subset():
    world = json.loads((TEXTS / "world.json").read_text(encoding="utf-8"))
    english = wording("en")
    for facet in ("topics", "ai_values", "human_values"):
        assert set(getattr(english, facet)) == set(world[facet])
        for language in LANGUAGES:
            assert set(getattr(wording(language), facet)) <= set(world[facet])
    for language in LANGUAGES:
        for name, topic in wording(language).topics.items():
            assert set(topic.asks) <= set(english.topics[name].asks)


def test_alternatives_are_expanded_in_order():
    assert spelled_out(["[a|b] x [c|d]", "y"]) == ("a x c", "a x d", "b x c", "b x d", "y")


def four_words(text):
    for part in re.split(r"[*{}\[\]|]", text.lower()):
        words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", part)
        yield from zip(words, words[1:], words[2:], words[3:], strict=False)


def strings(node):
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from strings(child)


def test_the_planted_text_shares_no_four_word_sequence_with_the_lexicons_examples(rows):
    """Otherwise the lexicon would be evaluated on its own examples."""
    files = sorted(Path(vitw_ray.extraction.__path__[0]).glob("lexicon*/*.json"))
    if not files:
        pytest.skip("the lexicon's data are not there")
    known = {
        words
        for file in files
        for text in strings(json.loads(file.read_text(encoding="utf-8")))
        for words in four_words(text)
    }
    planted = {
        words
        for talk, _ in rows
        for message in talk["messages"]
        for words in four_words(message["content"])
    }
    assert not {" ".join(words) for words in known & planted}


def test_conversations_are_rarely_identical(rows):
    texts = Counter(json.dumps(talk["messages"]) for talk, _ in rows)
    assert len(rows) - len(texts) < 0.01 * len(rows)
    assert len({json.dumps(talk["messages"]) for talk, _ in rows[:400]}) == 400


def test_weights_of_ai_values_are_the_released_frequencies(real_data):
    released = dict(
        line.rsplit(",", 1)
        for line in (real_data / "reference" / "values_frequencies.csv").read_text().splitlines()
    )
    world = json.loads((TEXTS / "world.json").read_text(encoding="utf-8"))
    assert {v: float(released[v]) for v in world["ai_values"]} == world["ai_values"]


# ---- files


def unpacked(folder, prefix):
    return [gzip.decompress(f.read_bytes()) for f in sorted(folder.glob(f"{prefix}-*.jsonl.gz"))]


def test_the_shipped_sample_equals_the_generators_output(tmp_path):
    made = [tmp_path / "conversations.jsonl.gz", tmp_path / "truth.jsonl.gz"]
    write_rows(PlantedConfig(), 0, 400, *made)
    for file in made:
        shipped = SAMPLE.with_name(file.name)
        assert gzip.decompress(shipped.read_bytes()) == gzip.decompress(file.read_bytes())
        assert shipped.stat().st_size < 300_000


def test_files_have_the_rows_in_order_and_are_reproducible(tmp_path):
    config = PlantedConfig(conversations=25)
    write(config, tmp_path / "a", rows_per_file=10)
    write(config, tmp_path / "b", rows_per_file=10)
    names = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert names == [
        f"{kind}-0000{n}.jsonl.gz" for kind in ("conversations", "truth") for n in range(3)
    ]
    for name in names:
        packed = (tmp_path / "a" / name).read_bytes()
        assert packed == (tmp_path / "b" / name).read_bytes()
        assert packed[4:8] == bytes(4)  # no timestamp
    for prefix, column in (("conversations", 0), ("truth", 1)):
        lines = b"".join(unpacked(tmp_path / "a", prefix)).decode().splitlines()
        assert [json.loads(line) for line in lines] == [row[column] for row in plant(config)]


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path):
    def peak(rows):
        tracemalloc.start()
        write_rows(PlantedConfig(conversations=rows), 0, rows, tmp_path / "c", tmp_path / "t")
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(10)  # reads the templates, once
    assert peak(2000) < peak(500) + 100_000  # 1,500 rows more are 1 MB of text


def test_the_command_line_writes_the_files(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "vitw_ray.evaluation.planted",
         "--conversations", "25", "--output", str(tmp_path), "--rows-per-file", "20"],
        cwd=ROOT, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert [text.count(b"\n") for text in unpacked(tmp_path, "truth")] == [20, 5]
