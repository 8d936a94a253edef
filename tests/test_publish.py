"""`vitw publish`: two kinds of release from a finished run, their ledger, and `vitw check`."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from release_tables import labels_table, taxonomy_table

from vitw_ray.cli.main import main
from vitw_ray.config import ConversationsConfig, ExtractionConfig, LabelsConfig, RunConfig
from vitw_ray.errors import ConfigError, OutputError
from vitw_ray.finished_run import FinishedRun
from vitw_ray.keys import Keyed
from vitw_ray.publishing.bounded import bounded_counts, keyed_noise
from vitw_ray.publishing.earlier_folders import refuse_lower_folders
from vitw_ray.publishing.population import population, refuse_dependent_rows
from vitw_ray.publishing.released_tree import renamed
from vitw_ray.records import EXTRACTIONS
from vitw_ray.release import threshold
from vitw_ray.release.ledger import read_ledger, spend, totals
from vitw_ray.release.settings import StrictSettings, ThresholdSettings
from vitw_ray.release.strict.population import Pairs, Population
from vitw_ray.storage import Storage

RAISED = {"min_conversations": 15, "min_accounts": 5}


@pytest.fixture
def run(sample_run, tmp_path) -> Path:
    """A copy of a finished run, with the thresholds that a release needs."""
    folder = tmp_path / "run"
    shutil.copytree(sample_run.address, folder)
    file = folder / "run.json"
    content = json.loads(file.read_text())
    content["config"]["labels"] |= RAISED
    file.write_text(json.dumps(content))
    for file in folder.glob("*/_SUCCESS.json"):
        content = json.loads(file.read_text())
        if "labels" in content["config"]:
            content["config"]["labels"] |= RAISED
            file.write_text(json.dumps(content))
    return folder


@pytest.fixture
def publish(run, sample_run, capsys):
    secret = Path(sample_run.address).parent / "secret"

    def call(*words: str) -> tuple[int, str, str]:
        status = main(["publish", str(run), *words, "--secret-file", str(secret)])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


STRICT = ("--kind", "strict", "--unknown-accounts", "own", "--epsilon", "8")


@pytest.mark.ray
def test_a_strict_release_is_drawn_once_and_checked_from_its_files(run, publish, tmp_path, capsys):
    pytest.importorskip("opendp")
    assert publish(*STRICT)[0] == 0
    first = run / "releases" / "strict-1"
    assert publish(*STRICT, "--to", str(tmp_path / "again"))[0] == 0
    for file in first.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    assert main(["check", str(first)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["failed"] == []
    assert pq.read_table(first / "labels.parquet").num_rows


@pytest.mark.ray
def test_a_second_strict_release_spends_from_the_same_budget(run, publish):
    pytest.importorskip("opendp")
    assert publish(*STRICT)[0] == 0
    status, _, error = publish(*STRICT[:-1], "2")
    assert status == 1
    assert "have spent 8 before" in error
    status, out, _ = publish(*STRICT[:-1], "2", "--budget-epsilon", "10")
    assert status == 0
    assert json.loads(out.splitlines()[-1])["epsilon"] == 10
    card = (run / "releases" / "strict-2" / "README.md").read_text()
    assert "have spent ε = 10 and" in card
    assert publish("--kind", "threshold")[0] == 1


@pytest.mark.ray
def test_nothing_of_a_strict_release_is_an_exact_count_of_the_run(run, publish):
    pytest.importorskip("opendp")
    publish(*STRICT)
    about = json.loads((run / "releases" / "strict-1" / "release.json").read_text())
    record = json.loads((run / "run.json").read_text())
    exact = record["totals"]["conversations"]
    card = (run / "releases" / "strict-1" / "README.md").read_text()
    assert not {"totals", "sources", "stages", "days"} & set(about)
    assert str(exact) not in card.replace(str(about["conversations"]), "")
    digests = {table["digest"] for table in record["tables"].values()}
    text = json.dumps(about) + card
    assert not [digest for digest in digests if digest[:16] in text]
    assert read_ledger(Storage(str(run)))[0].key not in text


@pytest.mark.ray
def test_a_threshold_release_has_rounded_counts_and_shares_of_these(run, publish, capsys):
    assert publish("--kind", "threshold")[0] == 0
    folder = run / "releases" / "threshold-1"
    about = json.loads((folder / "release.json").read_text())
    assert about["conversations"] % 10 == 0
    rows = pq.read_table(folder / "labels.parquet").to_pylist()
    assert rows
    for row in rows:
        assert row["conversations"] % 10 == 0
        assert row["share"] == row["conversations"] / about["conversations"]
    matter = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    assert matter["vitw_ray"]["min_conversations"] == 15
    assert {c["data_files"] for c in matter["configs"]} == {
        table["file"] for table in about["tables"].values()
    }
    assert main(["check", str(folder)]) == 0
    capsys.readouterr()
    status, _, error = publish("--kind", "threshold", "--round-to", "5")
    assert status == 1
    assert "--again" in error


@pytest.mark.ray
@pytest.mark.parametrize("damage", ["checksums", "protection", "shares", "columns", "names"])
def test_the_check_of_a_release_finds_what_was_changed(damage, run, publish, capsys):
    publish("--kind", "threshold")
    folder = run / "releases" / "threshold-1"
    table = pq.read_table(folder / "labels.parquet")
    rows = table.to_pylist()
    if damage == "checksums":
        (folder / "README.md").write_text("another card")
    elif damage == "protection":
        rows[0]["conversations"] += 1
    elif damage == "shares":
        rows[0]["share"] = 0.9
    elif damage == "columns":
        rows.pop()
    else:
        rows[0]["label"] = "=HYPERLINK(1)"
    if damage != "checksums":
        pq.write_table(pa.Table.from_pylist(rows, table.schema), folder / "labels.parquet")
        seal(folder)
    capsys.readouterr()
    assert main(["check", str(folder)]) == 1
    assert damage in json.loads(capsys.readouterr().out.splitlines()[-1])["failed"]


def seal(folder: Path) -> None:
    """Checksums that fit whatever is there."""
    files = sorted(file for file in folder.iterdir() if file.name != "checksums.sha256")
    lines = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files]
    (folder / "checksums.sha256").write_text("".join(lines))


@pytest.mark.parametrize("field", ["min_conversations", "min_accounts"])
def test_no_flag_publishes_a_run_of_lower_thresholds(field):
    with pytest.raises(ConfigError, match=field.replace("_", "-")):
        threshold.refuse_low_thresholds(LabelsConfig(**{field: 2}))
    threshold.refuse_low_thresholds(LabelsConfig())
    with pytest.raises(ConfigError, match="round"):
        ThresholdSettings(round_to=1)


def no_noise(name: str, scale: float) -> int:
    """Noise that happens to be zero."""
    return 0


def bounded_of(labels: dict[str, int], subjective: int) -> threshold.Bounded:
    """Labels that no conversation names an account of."""
    return threshold.Bounded(labels_table(labels, subjective), subjective, {})


@given(
    st.dictionaries(st.sampled_from(["care", "tact", "zeal"]), st.integers(51, 400)),
    st.integers(400, 5000),
    st.sampled_from([5, 10, 20, 50]),
)
def test_rounded_labels_are_multiples_near_their_counts(labels, subjective, base):
    table = threshold.rounded_labels(bounded_of(labels, subjective), base, LabelsConfig(), no_noise)
    total = int(threshold.rounded(np.array([subjective]), base)[0])
    for row in table.to_pylist():
        assert row["conversations"] % base == 0
        assert abs(row["conversations"] - labels[row["label"]]) <= base / 2
        assert row["share"] == row["conversations"] / total


def test_a_label_of_too_few_accounts_is_not_released_whatever_the_table_says():
    found = bounded_of({"care": 60, "zeal": 14, "tact": 30}, 100)
    released = threshold.rounded_labels(found, 10, LabelsConfig(), lambda name, scale: 30)
    assert released["label"].to_pylist() == ["care", "tact"]
    kept = threshold.rounded_labels(found, 10, LabelsConfig(), no_noise)
    assert kept["label"].to_pylist() == ["care"]


def test_what_a_release_leaves_out_is_told_and_an_empty_one_is_refused():
    found, thresholds = labels_table({"care": 60, "wit": 20}, 100), LabelsConfig(**RAISED)
    told = threshold.what_is_shown(found, found.slice(0, 1), thresholds)
    assert told.startswith("1 of the run's 2 labels are in it: each has about 51 conversations")
    with pytest.raises(ConfigError, match="of this run's 2 labels none has"):
        threshold.what_is_shown(found, found.slice(0, 0), thresholds)


def test_a_run_of_low_thresholds_is_told_all_flags_at_once():
    with pytest.raises(ConfigError) as raised:
        threshold.refuse_low_thresholds(LabelsConfig(min_conversations=3, min_accounts=1))
    assert "--min-conversations 15 --min-accounts 5" in raised.value.fix


def test_one_account_with_ten_thousand_conversations_counts_as_the_bound_says():
    values = Pairs(np.arange(10_060), np.r_[np.zeros(10_000), np.ones(60)].astype(int), *NAMED)
    accounts = np.r_[np.zeros(10_000, int), np.arange(1, 61)]
    none = Pairs(np.array([], int), np.array([], int), [], np.array([], np.uint64))
    order = np.arange(10_060, dtype=np.uint64)
    people = Population(
        accounts, order, np.zeros(10_060, int), {"ai_values": values, "human_values": none}
    )
    labels = labels_table({"care": 10_000, "zeal": 60}, 10_060)
    found = bounded_counts(people, np.ones(61, bool), labels, 3)
    counted = {row["label"]: row for row in found.labels.to_pylist()}
    assert (counted["care"]["conversations"], counted["care"]["accounts"]) == (3, 1)
    assert (counted["zeal"]["conversations"], counted["zeal"]["accounts"]) == (60, 60)
    assert found.subjective == 63
    assert found.response_types["strong_support"] == (63, 61)
    released = threshold.rounded_labels(found, 10, LabelsConfig(), no_noise).to_pylist()
    assert [(row["label"], row["conversations"], row["accounts"]) for row in released] == [
        ("zeal", 60, 60)
    ]


def test_noise_is_of_its_scale_and_only_the_secret_tells_it():
    draw = keyed_noise(KEYED, "release")
    drawn = [draw(f"label {n}", 12.0) for n in range(2000)]
    assert abs(np.std(drawn) - 12) < 0.6
    assert abs(np.mean(drawn)) < 1
    assert drawn == [keyed_noise(KEYED, "release")(f"label {n}", 12.0) for n in range(2000)]
    for other in (keyed_noise(KEYED, "another"), keyed_noise(Keyed(b"x" * 16), "release")):
        second = [other(f"label {n}", 12.0) for n in range(2000)]
        assert abs(np.corrcoef(drawn, second)[0, 1]) < 0.1


def test_two_threshold_releases_one_conversation_apart_differ_by_noise():
    labels = {f"value {letter}": 80 + 3 * n for n, letter in enumerate("abcdefghijkl")}
    moved = {name: count + 1 for name, count in labels.items()}

    def total(counts: dict[str, int], release: str) -> int:
        noise = keyed_noise(KEYED, release)
        table = threshold.rounded_labels(bounded_of(counts, 500), 10, LabelsConfig(), noise)
        return sum(table["conversations"].to_pylist())

    trials = range(150)
    same = [total(labels, f"b{n}") - total(labels, f"a{n}") for n in trials]
    more = [total(moved, f"d{n}") - total(labels, f"c{n}") for n in trials]
    told = np.mean([x > y for x in more for y in same])  # 1/2: nothing is told
    assert 0.35 < told < 0.72


def test_a_cluster_that_is_named_after_a_label_that_is_not_released_gets_another_name():
    tree = taxonomy_table(
        [
            ("ai_values:l1:a", 1, None, "Huntington care", "Values such as huntington care."),
            ("leaf:1", 0, "ai_values:l1:a", "huntington care", ""),
            ("leaf:2", 0, "ai_values:l1:a", "patience", ""),
        ]
    )
    found = renamed(tree, labels_table({"patience": 60}, 100)).to_pylist()
    group = next(row for row in found if row["level"] == 1)
    assert (group["name"], group["description"]) == ("Patience", "")
    kept = renamed(tree, labels_table({"patience": 60, "huntington care": 70}, 100)).to_pylist()
    assert kept[0]["name"] == "Huntington care"


NAMED = (["care", "zeal"], np.array([1, 2], np.uint64))


@pytest.mark.ray
def test_a_run_of_lower_thresholds_is_told_to_run_again_and_not_to_delete_its_folders(tmp_path):
    finished = FinishedRun(RunConfig(labels=LabelsConfig(min_conversations=3)), "", {})
    with pytest.raises(OutputError, match="min_conversations 3") as refused:
        refuse_lower_folders(Storage(str(tmp_path)), finished)
    assert "--min-conversations 15 --min-accounts 5" in refused.value.fix
    assert "rm " not in refused.value.fix


def test_a_folder_of_lower_thresholds_is_not_published_beside_a_run_of_higher_ones(run, publish):
    low = run / "3_labels-0123456789abcdef"
    low.mkdir()
    manifest = {"config": {"labels": {"min_conversations": 3, "min_accounts": 1}}}
    shown = {"files": [{"path": f"{low.name}/labels/part-00000.parquet"}]}
    (low / "_SUCCESS.json").write_text(json.dumps(manifest | shown))
    private = run / "2_extractions-0123456789abcdef"
    private.mkdir()
    hidden = {"files": [{"path": f"private/{private.name}/extractions/part-00000.parquet"}]}
    (private / "_SUCCESS.json").write_text(json.dumps(manifest | hidden))
    status, _, error = publish("--kind", "threshold")
    assert status == 1
    assert low.name in error
    assert private.name not in error
    assert not (run / "releases").exists()
    shutil.rmtree(low)
    assert publish("--kind", "threshold")[0] == 0


def extractions(accounts: list[str | None], task: str = "write a letter") -> pa.Table:
    value = {"label": "Self-Care", "explicit": True, "grounded": None, "salience": None}
    rows = [
        {
            **dict.fromkeys(EXTRACTIONS.names),
            "conversation_id": f"c{n}",
            "account_id": account,
            "source": "s",
            "extractor": "x@1",
            "is_subjective": n != 0,
            "task": task,
            "ai_values": [value, {**value, "label": "self care"}],
            "human_values": [{**value, "label": "=1+1"}],
            "response_type": "reframing",
            "prompt_tokens": 1,
            "output_tokens": 1,
            "truncated_share": 0.0,
        }
        for n, account in enumerate(accounts)
    ]
    return pa.Table.from_pylist(rows, EXTRACTIONS)


KEYED = Keyed(b"0123456789abcdef")


def test_conversations_without_account_are_refused_until_they_may_count_as_accounts():
    parts = [extractions(["a", "a", None, None])]
    with pytest.raises(ConfigError, match="2 of 3 subjective conversations name no account"):
        population(parts, LabelsConfig(), KEYED, "refuse")
    found = population(parts, LabelsConfig(), KEYED, "own")
    assert len(set(found.accounts.tolist())) == 3


def test_spellings_are_merged_by_rules_for_one_label_and_other_characters_are_left_out():
    found = population([extractions(["a", "b"])], LabelsConfig(), KEYED, "refuse")
    assert found.facets["ai_values"].names == ["self care"]
    assert found.facets["ai_values"].counts().tolist() == [1]
    assert found.facets["human_values"].names == []
    assert found.facets["tasks"].names == ["write a letter"]


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(conversations=ConversationsConfig(sample=5)),
        RunConfig(extraction=ExtractionConfig(screen=True)),
    ],
)
def test_a_run_in_which_accounts_decide_about_each_other_has_no_strict_release(config):
    with pytest.raises(ConfigError, match="strict"):
        refuse_dependent_rows(config)
    refuse_dependent_rows(RunConfig())


def test_the_ledger_adds_up_and_finds_a_release_again(tmp_path):
    storage, settings = Storage(str(tmp_path)), StrictSettings(epsilon=1.0)
    first = spend(storage, "a", settings, None, again=False)
    assert spend(storage, "a", settings, None, again=False) == first
    with pytest.raises(ConfigError, match="--budget-epsilon 2 allows it"):
        spend(storage, "b", settings, None, again=False)
    assert spend(storage, "b", settings, 2.0, again=False).number == 2
    assert totals(read_ledger(storage)) == {"epsilon": 2.0, "delta": 2e-6}
    with pytest.raises(ConfigError, match="other kind"):
        spend(storage, "c", ThresholdSettings(), None, again=True)


def test_a_flag_of_the_other_kind_is_refused(tmp_path, capsys):
    assert main(["publish", str(tmp_path), "--kind", "threshold", "--epsilon", "2"]) == 1
    assert "--epsilon is of --kind strict" in capsys.readouterr().err
