"""Heads of the screen: features of one conversation alone, weights that survive a file."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tiny_embedder import make_tiny_embedder

from vitw_ray.errors import StageFailed
from vitw_ray.evaluation.planted import PlantedConfig, plant
from vitw_ray.extraction.screen.features import COUNTS, TEXTS, features_of, texts_of
from vitw_ray.extraction.screen.head import REGULARISATION, Head, fit_binary, fit_head
from vitw_ray.inference.embedder import Hashing, load_embedder
from vitw_ray.records import Conversation, Message


def planted(rows: int) -> tuple[list[Conversation], np.ndarray]:
    pairs = list(plant(PlantedConfig(), 0, rows))
    conversations = [
        Conversation(
            talk["conversation_id"],
            tuple(Message(m["role"], m["content"]) for m in talk["messages"]),
        )
        for talk, _ in pairs
    ]
    return conversations, np.array([truth["subjectivity"] >= 3 for _, truth in pairs])


def test_features_of_a_conversation_do_not_depend_on_its_neighbours(tmp_path):
    embedder = load_embedder(str(make_tiny_embedder(tmp_path / "tiny")))
    conversations, _ = planted(20)
    together = features_of(embedder, conversations)
    backwards = features_of(embedder, conversations[::-1])[::-1]
    alone = np.concatenate([features_of(embedder, [one]) for one in conversations])
    assert together.tobytes() == alone.tobytes() == backwards.tobytes()


def test_who_says_nothing_has_the_zero_vector():
    embedder = Hashing()
    (row,) = features_of(embedder, [Conversation("a", (Message("user", "hello there"),))])
    assert row[: 2 * embedder.dim].any()
    assert not row[2 * embedder.dim : TEXTS * embedder.dim].any()
    nothing = features_of(embedder, [Conversation("b", ())])
    assert nothing.shape == (1, TEXTS * embedder.dim + COUNTS)
    assert np.isfinite(nothing).all()


def test_the_first_message_of_the_user_and_the_last_of_the_assistant_are_read():
    turns = ("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four")
    talk = Conversation("a", tuple(Message(*turn) for turn in turns))
    assert texts_of(talk) == ("one\nthree", "one", "four")


def test_a_stored_head_gives_the_very_same_scores():
    conversations, subjective = planted(300)
    features = features_of(Hashing(), conversations)
    head = fit_binary(features, subjective)
    again = Head.from_json(json.loads(json.dumps(head.as_json())))
    assert head.scores(features).tobytes() == again.scores(features).tobytes()
    assert head.scores(features[7:8]).tobytes() == head.scores(features)[7:8].tobytes()


def test_scores_are_those_of_scikit_learn_up_to_rounding():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 12)).astype(np.float32)
    kinds = np.array(["a", "b", "c"])[(features[:, :3] + rng.normal(size=(400, 3))).argmax(axis=1)]
    for labels in (kinds, np.where(kinds == "a", "a", "other")):
        model = LogisticRegression(C=REGULARISATION, max_iter=1000).fit(features, labels)
        head = fit_head(features, labels.tolist())
        expected = model.decision_function(features).reshape(400, -1)
        assert head.scores(features) == pytest.approx(expected, abs=1e-2)
        assert np.mean(np.array(head.predict(features)) == model.predict(features)) > 0.99


def test_the_score_of_subjective_conversations_is_higher():
    conversations, subjective = planted(400)
    features = features_of(Hashing(), conversations)
    head = fit_binary(features[:250], subjective[:250])
    scores = head.scores(features[250:])[:, 0]
    pairs = scores[subjective[250:], None] > scores[None, ~subjective[250:]]
    assert pairs.mean() > 0.9


def test_a_reader_that_gives_one_answer_to_all_trains_no_head():
    with pytest.raises(StageFailed, match="one kind"):
        fit_binary(np.zeros((5, 2), np.float32), np.ones(5, bool))


@pytest.mark.parametrize("damage", [{"bias": [0.0, 1.0]}, {"weights": [1.0]}, {"classes": ["a"]}])
def test_a_damaged_head_is_refused(damage):
    head = fit_head(np.eye(4, dtype=np.float32), ["a", "b", "a", "b"]).as_json()
    with pytest.raises(ValueError, match="fit each other"):
        Head.from_json(head | damage)
