"""Wrong content under right seals: what is wrong, the checks that must find it, how it is done."""

from datetime import UTC, datetime

import pyarrow as pa
from damages import (
    Damage,
    add_an_empty_cluster,
    count_one_more,
    double,
    drop,
    edit,
    fail_often,
    in_all,
    keep_a_rare_label,
    mirror_one_less,
    plus,
    put_one_conversation_into_two_parts,
    read_one_row_less,
    retype,
    rewrite,
    some,
    swap_two_answers,
    together,
    turn_an_interval_over,
    unsort,
)
from invented_conversations import SPOKEN

SUBJECTIVE = {"is_subjective": True}
ONE = {"conversation_id": "invented-chat-0001"}
SAID_BY_ANOTHER = [
    {"role": "user", "content": f"{SPOKEN}, 2"},
    {"role": "assistant", "content": f"{SPOKEN}, answered, 2"},
]
WRONG: dict[str, tuple[str, Damage]] = {
    # conversations, rejects, extractions
    "a conversation is dropped": ("carried conservation", drop("conversations")),
    "an extraction is dropped": ("carried conservation", drop("extractions", **SUBJECTIVE)),
    "an extraction stands twice": ("order carried", double("extractions")),
    "a conversation is in two parts": ("order", put_one_conversation_into_two_parts),
    "a part is not sorted": ("order", unsort("conversations", "extractions")),
    "assignments are not sorted": ("order", unsort("task_assignments")),
    "two answers are swapped": ("associations", swap_two_answers),
    "another account": ("carried", edit("extractions", "account_id", "account-of-another")),
    "another model": ("carried", edit("extractions", "model", "model-c")),
    "no id": ("conversations", edit("conversations", "conversation_id", "")),
    "an unknown role": (
        "conversations",
        edit("conversations", "messages", lambda said: [{**said[0], "role": "oracle"}]),
    ),
    "nothing is said": (
        "conversations",
        edit("conversations", "messages", [{"role": "user", "content": " "}]),
    ),
    "a reject is removed": ("conservation", drop("rejects")),
    "a reason is renamed": ("conservation", edit("rejects", "reason", "too_long")),
    "a reason is a sentence": (
        "rejects",
        together(
            edit("rejects", "reason", SPOKEN, reason="no_messages"),
            lambda folder: folder.rejected.update({SPOKEN: folder.rejected.pop("no_messages")}),
        ),
    ),
    "a row is rejected twice": ("rejects", edit("rejects", "row", 3, row=17)),
    "a rejected row was not read": ("rejects", edit("rejects", "row", 10, row=9)),
    "rejects are not sorted": ("rejects", edit("rejects", "row", 1, row=17)),
    "fewer rows were read": ("conservation", read_one_row_less),
    "rows by file do not add up": (
        "conservation",
        lambda folder: folder.rows_by_file.update({"b.jsonl": 31}),
    ),
    "a file had more rows": (
        "inputs",
        lambda folder: folder.rows_by_file.update({"a.jsonl.gz": 43, "b.jsonl": 27}),
    ),
    # what is in the rows
    "an assistant that says nothing is judged": (
        "spoken",
        edit("conversations", "messages", [{"role": "user", "content": SPOKEN}], **ONE),
    ),
    "an assistant that only calls tools is judged": (
        "spoken",
        edit(
            "conversations",
            "messages",
            lambda said: [said[0], {"role": "assistant", "content": "[2 tool calls]\n[thinking]"}],
            **ONE,
        ),
    ),
    "a time is centuries ago": (
        "times",
        edit("conversations", "created_at", datetime(1712, 5, 1, tzinfo=UTC), **ONE),
    ),
    "a copy is left out of what was not read": (
        "versions",
        edit("rejects", "conversation_id", "invented-chat-9999", reason="identical"),
    ),
    "a row is superseded by nothing": (
        "successors",
        together(
            edit("rejects", "reason", "superseded", conversation_id="invented-chat-0004"),
            lambda folder: folder.rejected.update(identical=1, superseded=1),
        ),
    ),
    "answers are counted that no row has": (
        "answers conservation",
        lambda folder: setattr(folder, "further_answers", 5),
    ),
    "messages are repeated and not counted": (
        "duplicates",
        edit("conversations", "messages", SAID_BY_ANOTHER, **ONE),
    ),
    "the assistant is lost": ("raw", in_all("conversations", "model", None)),
    "all accounts are one": ("raw", in_all("conversations", "account_id", "account-of-another")),
    "the ids are others": ("raw", in_all("conversations", "conversation_id", "another-{n}")),
    "a time is another": (
        "raw",
        edit("conversations", "created_at", datetime(2025, 3, 1, tzinfo=UTC), **ONE),
    ),
    "is_subjective is flipped": (
        "extractions",
        edit("extractions", "is_subjective", True, subjectivity=2),
    ),
    "subjectivity 5": ("extractions", edit("extractions", "subjectivity", 5, **SUBJECTIVE)),
    "subjectivity is missing": (
        "extractions",
        edit("extractions", "subjectivity", None, subjectivity=1),
    ),
    "a response type outside the set": (
        "extractions response_types",
        edit("extractions", "response_type", SPOKEN, **SUBJECTIVE),
    ),
    "a failed row has a task": (
        "extractions",
        edit("extractions", "task", "plan a trip", error=some),
    ),
    "a failed row has values": (
        "extractions",
        edit("extractions", "ai_values", [{"label": "calm", "explicit": True}], error=some),
    ),
    "an error is a sentence": (
        "extractions",
        together(
            lambda folder: [
                row.update(error=SPOKEN) for row in folder.all("extractions") if row["error"]
            ],
            lambda folder: folder.failed.update({SPOKEN: folder.failed.pop("no_json")}),
        ),
    ),
    "a failure is not counted": ("extractions", lambda folder: folder.failed.update(no_json=1)),
    "too many failures": ("extractions", fail_often),
    "more than all was cut": ("extractions", edit("extractions", "truncated_share", 1.25)),
    "tokens below zero": ("extractions", edit("extractions", "prompt_tokens", -1)),
    "salience 6": (
        "extractions",
        edit(
            "extractions", "ai_values", lambda found: [{**found[0], "salience": 6}], ai_values=some
        ),
    ),
    "two extractors": ("extractions", edit("extractions", "extractor", "invented@1")),
    # labels
    "a label count is edited": ("labels", count_one_more),
    "a label's share is edited": ("labels", edit("labels", "share", plus(0.001))),
    "a label is missing": ("labels", drop("labels", kept=False)),
    "a label stands twice": ("labels", double("labels", 1)),
    "a label outside the alphabet": ("labels", edit("labels", "label", "=1+1")),
    "accounts are edited": ("accounts", edit("labels", "accounts", plus(1))),
    "a rare label is kept": ("kept taxonomy", keep_a_rare_label),
    "a label is not kept": ("kept taxonomy", edit("labels", "kept", False)),
    "a merge leads to a variant": (
        "merges",
        edit("merges", "label", "careful limit", rule="hyphen"),
    ),
    "a merge count is edited": ("merges", edit("merges", "conversations", plus(-1))),
    "a variant stands twice": ("merges", double("merges")),
    "a merge is forgotten": ("labels", drop("merges")),
    # what is public
    "a rare label is public": ("private", lambda f: f.public.add("labels/part-00001.parquet")),
    "extractions are public": ("private", lambda f: f.public.add("extractions/part-00001.parquet")),
    "merges are public": ("private", lambda f: f.public.add("merges/part-00000.parquet")),
    "the page names a conversation": (
        "private",
        rewrite("report.html", lambda page: page + "<b>invented-chat-0012</b>"),
    ),
    "a table names an account": (
        "private",
        edit("taxonomy", "description", "account-03-00000003", level=1),
    ),
    "a public table holds text": (
        "private schemas",
        together(
            retype("mirroring", pa.field("content", pa.string())),
            lambda folder: folder.tables["mirroring"][0][0].update(content=SPOKEN),
        ),
    ),
    "a column has another type": (
        "schemas",
        retype("labels", pa.field("conversations", pa.int32(), nullable=False)),
    ),
    "a column may be null": ("schemas", retype("taxonomy", pa.field("name", pa.string()))),
    # taxonomy
    "a node has no parent": ("tree", edit("taxonomy", "parent_cluster_id", "ai_values:l1:9")),
    "a node skips a level": ("tree", edit("taxonomy", "parent_cluster_id", "ai_values:l2:0")),
    "the top has a parent": ("tree", edit("taxonomy", "parent_cluster_id", "tasks:l2:1", level=2)),
    "a cluster has no members": ("tree", add_an_empty_cluster),
    "a node has no name": ("tree", edit("taxonomy", "name", "", level=1)),
    "a name holds a digit": ("tree", edit("taxonomy", "name", "group 7", level=1)),
    "a name is of eleven words": (
        "tree",
        edit("taxonomy", "name", "a b c d e f g h i j k", level=1),
    ),
    "siblings bear one name": ("tree", edit("taxonomy", "name", "GROUP B", name="group A")),
    "an id stands twice": ("tree", edit("taxonomy", "cluster_id", "tasks:l2:0", name="work B")),
    "an unknown facet": ("tree", edit("taxonomy", "facet", "moods")),
    "a percentage is wrong": (
        "taxonomy release_tree",
        edit("taxonomy", "pct_total_occurrences", plus(0.5)),
    ),
    "a leaf count is edited": ("taxonomy", edit("taxonomy", "conversations", plus(1), level=0)),
    "a cluster count is edited": ("taxonomy", edit("taxonomy", "conversations", plus(1), level=2)),
    "a label is not in the tree": ("taxonomy", drop("taxonomy", level=0)),
    "a task is in another cluster": (
        "tasks associations",
        edit("task_assignments", "cluster_id", "tasks:l1:0", cluster_id="tasks:l1:1"),
    ),
    "a task is in no known cluster": (
        "tasks",
        edit("task_assignments", "cluster_id", "tasks:l1:7"),
    ),
    "a task is not assigned": ("tasks", drop("task_assignments")),
    "somebody else has a task cluster": ("tasks", double("task_assignments", conversation_id="x")),
    "a task cluster is larger": (
        "tasks",
        edit("taxonomy", "conversations", plus(1), facet="tasks", level=1),
    ),
    # statistics
    "a response type count is edited": (
        "response_types",
        edit("response_types", "conversations", plus(1)),
    ),
    "a response type is left out": ("response_types", drop("response_types", share=some)),
    "nothing about all models": (
        "response_types",
        lambda f: f.tables["response_types"].__setitem__(0, f.tables["response_types"][0][7:]),
    ),
    "a bound is edited": (
        "response_types",
        edit("response_types", "low", lambda low: low * 0.99, low=some),
    ),
    "an observed count is edited": ("associations", edit("associations", "observed", plus(1))),
    "a cell stands twice": ("associations", double("associations")),
    "a cell is left out": ("associations", drop("associations", observed=some)),
    "a cell of a rare label": ("associations", edit("associations", "row", "collecting buttons")),
    "a cell of another level": ("associations", edit("associations", "level", 1)),
    "a residual has the other sign": (
        "residuals",
        edit("associations", "residual", lambda z: -z, residual=lambda z: z and abs(z) > 1),
    ),
    "an expected count is edited": (
        "residuals",
        edit("associations", "expected", lambda e: e * 1.01),
    ),
    "an odds ratio is edited": (
        "residuals",
        edit("associations", "odds_ratio", lambda ratio: ratio * 1.01),
    ),
    "a cell is called significant": (
        "residuals",
        edit("associations", "significant", True, p_adjusted=lambda p: p and p > 0.5),
    ),
    "p is above its adjustment": (
        "residuals",
        edit("associations", "p_value", 1.0, significant=True),
    ),
    "no reason for no residual": ("residuals", edit("associations", "reason", None, reason=some)),
    "a share of the variation is edited": ("variation", edit("variation", "share", plus(0.01))),
    "a coefficient is edited": (
        "variation",
        edit("variation", "coefficient_of_variation", plus(0.01)),
    ),
    "a correction below zero": ("variation", edit("variation", "corrected", -0.1)),
    "a mirrored count is edited": ("mirroring", mirror_one_less),
    "conversations of mirroring are edited": (
        "mirroring",
        edit("mirroring", "conversations", plus(1)),
    ),
    "a mirroring bound is edited": ("mirroring", edit("mirroring", "high", plus(-0.01), high=some)),
    "a lift is edited": ("mirroring", edit("mirroring", "lift", lambda x: x * 2, lift=some)),
    "a row of mirroring is left out": ("mirroring", drop("mirroring", conversations=some)),
    "a lift bound is edited": ("intervals", edit("mirroring", "lift_low", plus(9), lift_low=some)),
    "a shrunken odds ratio is edited": (
        "residuals",
        edit("associations", "shrunken_low", plus(0.1), shrunken=some),
    ),
    "a pair is called a discovery": (
        "residuals",
        edit("associations", "discovered", True, q_tree=lambda q: q is None),
    ),
    "a q over the tree is below the p-value": (
        "residuals",
        edit("associations", "q_tree", 0.0, q_tree=some, p_value=some),
    ),
    "a sign is said to turn": (
        "model_comparison",
        edit(
            "model_comparison",
            "turned",
            lambda turned: not turned,
            matched_on="tasks",
            difference=lambda d: abs(d) > 0.01,
        ),
    ),
    "an effect size is edited": ("residuals", edit("associations", "cramers_v", plus(0.1))),
    "accounts make a residual larger": (
        "residuals",
        edit("associations", "residual_by_account", lambda z: 3 * z, significant=True),
    ),
    "a pair of values is counted wrongly": (
        "cooccurrence",
        edit("cooccurrence", "conversations", plus(1)),
    ),
    "a pair of values is left out": ("cooccurrence", drop("cooccurrence")),
    "a value is said more often": ("explicitness", edit("explicitness", "explicit", plus(1))),
    "a residual of what is said is edited": (
        "explicitness",
        edit("explicitness", "residual", plus(0.1), residual=some, response_type=some),
    ),
    "what is said is left out": ("explicitness", drop("explicitness", explicit=some)),
    "a value shown in a task is counted wrongly": (
        "task_values",
        edit("task_values", "conversations", plus(1)),
    ),
    "a ratio within a task is edited": (
        "task_values",
        edit("task_values", "shrunken_low", plus(-0.01), shrunken=some),
    ),
    "a value of a task stands twice": ("task_values", double("task_values")),
    "a model's conversations are edited": (
        "model_comparison",
        edit("model_comparison", "conversations_b", plus(1), matched_on="tasks"),
    ),
    "a model's share is edited": (
        "model_comparison",
        edit("model_comparison", "share_a", plus(0.01), matched_on="prompts"),
    ),
    "a share on matched tasks is edited": (
        "model_comparison",
        edit("model_comparison", "share_b", plus(0.01), matched_on="tasks"),
    ),
    "a difference between weeks is edited": (
        "model_comparison",
        edit("model_comparison", "difference", plus(0.001), groups="periods"),
    ),
    "a bound of a difference is edited": (
        "model_comparison",
        edit("model_comparison", "low", plus(-0.01), matched_on="nothing"),
    ),
    "a comparison stands twice": ("model_comparison", double("model_comparison")),
    "two models are not compared": (
        "model_comparison",
        lambda f: f.tables["model_comparison"].__setitem__(
            0, [r for r in f.all("model_comparison") if r["groups"] == "periods"]
        ),
    ),
    "all cells are of one account": (
        "response_types associations cooccurrence mirroring explicitness model_comparison",
        in_all("extractions", "account_id", "account-of-another"),
    ),
    "a raw share beside a corrected one is edited": (
        "corrected",
        edit("corrected", "raw", plus(0.01)),
    ),
    "a corrected share has a reason as well": (
        "corrected",
        edit("corrected", "reason", "few_reviewed", corrected=some),
    ),
    "an interval is turned over": ("intervals", turn_an_interval_over),
    "an interval lacks an end": ("intervals", edit("response_types", "low", None, share=some)),
    # vectors
    "a vector is no number": ("vectors", lambda f: f.vectors[0].__setitem__(0, float("nan"))),
    "a vector is too short": ("vectors", lambda f: f.vectors[1].__setitem__(0, 0.1)),
    "a text without its vector": ("vectors", lambda f: f.vectors.pop()),
    "vectors that are public": (
        "vectors",
        lambda f: setattr(f, "vectors_of", "vectors-0/0.parquet"),
    ),
    # what people get
    "a released percentage is edited": (
        "release_frequencies",
        rewrite("values_frequencies.csv", lambda text: text.replace(".", ".9", 1)),
    ),
    "a released label is missing": (
        "release_frequencies",
        rewrite("values_frequencies.csv", lambda text: text[: text[:-1].rindex("\n") + 1]),
    ),
    "a released name is edited": (
        "release_tree",
        rewrite("values_tree.csv", lambda text: text.replace("everything", "something")),
    ),
    "a released node is missing": (
        "release_tree",
        rewrite("values_tree.csv", lambda text: text[: text[:-1].rindex("\n") + 1]),
    ),
    "a released share of the tree is edited": (
        "release_tree",
        rewrite("values_tree.csv", lambda text: text.replace("100.0", "99.0")),
    ),
    "the page is no page": ("report", rewrite("report.html", lambda _: "sorry")),
    "the page loads a script": (
        "report",
        rewrite("report.html", lambda page: page + '<script src="https://example.org/a.js">'),
    ),
    "the page loads a style sheet": (
        "report",
        rewrite("report.html", lambda page: page + '<link rel=x href="//example.org/page.css">'),
    ),
}
