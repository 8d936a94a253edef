"""The attack by planted conversations on whole runs, with a server that answers as it is told."""

import json
import re
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from chat_server import chat_server, completion
from test_openai_server import words_of
from whole_runs import run_quietly, small_config

from vitw_ray.config import ExtractionConfig, LabelsConfig
from vitw_ray.publishing.publish import publish
from vitw_ray.release.settings import ThresholdSettings
from vitw_ray.storage import Storage

pytestmark = [pytest.mark.ray, pytest.mark.slow]
pytest.importorskip("openai")
SECRET = "living with huntington disease"


def chat(name: str, account: str, *values: str) -> dict:
    said = " ".join(f"VALUE:{value}." for value in values)
    messages = [
        {"role": "user", "content": f"{name}: plan a week. {said}"},
        {"role": "assistant", "content": f"I see, {name}. {said}"},
    ]
    return {"conversation_id": name, "account_id": account, "messages": messages}


def obedient(body):
    """Gives each conversation the labels that it asks for."""
    if words := words_of(body):
        return completion(json.dumps({"word": words[0]}))
    text = body["messages"][-1]["content"]
    labels = dict.fromkeys(re.findall(r"VALUE:([a-z ]+)\.", text))
    values = [{"label": label, "explicit": True} for label in labels or ("honesty",)]
    answer = {"subjectivity": 4, "task": "plan a week", "human_values": [], "ai_values": values}
    return completion(json.dumps({**answer, "response_type": "reframing"}))


@pytest.mark.parametrize("accounts", [4, 14])
def test_planted_conversations_do_not_show_whether_the_victim_holds_the_attribute(
    accounts, local_ray, tmp_path
):
    chats = [chat(f"c{n}", f"u{n}", "honesty", "clarity") for n in range(120)]
    chats += [chat(f"p{n}", f"a{n % accounts}", "honesty", SECRET) for n in range(14)]
    chats.append(chat("victim", "victim", "honesty", SECRET))
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in chats))
    with chat_server(obedient) as (_, url):
        config = small_config([str(file)], tmp_path / "run", tmp_path / "secret", server_url=url)
        reader = ExtractionConfig(extractor="openai", model="served", questions="one_pass")
        labels = LabelsConfig(min_conversations=15, min_accounts=5)
        execution = replace(config.execution, reader_check="off")
        run_quietly(replace(config, extraction=reader, labels=labels, execution=execution))
    storage = Storage(str(tmp_path / "run"))
    publish(storage, ThresholdSettings(), secret_file=str(tmp_path / "secret"))
    folder = tmp_path / "run" / "releases" / "threshold-1"
    shown = pq.read_table(folder / "labels.parquet")["label"].to_pylist()
    assert "honesty" in shown
    for released in folder.iterdir():
        assert b"untington" not in released.read_bytes()
    (preview,) = (tmp_path / "run").glob("7_release-*/values_frequencies.csv")
    assert SECRET in preview.read_text()  # fifteen conversations: the attack was made
