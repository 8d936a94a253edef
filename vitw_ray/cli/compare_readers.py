"""`vitw compare-readers`: several readers of the same conversations, and how good each is.

Writes `leaderboard.json` and the page `leaderboard.html` to the output folder, and prints a table.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vitw_ray.cli.printing import say, say_json
from vitw_ray.cli.reader_flags import FLAGS, flag_of, read_specs, split_flags
from vitw_ray.cli.settings import settings_from
from vitw_ray.cli.short_help import COLUMN, Job
from vitw_ray.config import RunConfig
from vitw_ray.progress import log, set_up_logging
from vitw_ray.wording import UNKNOWN, count, decimal, percent

if TYPE_CHECKING:
    from vitw_ray.agreement.measures import Similarity
    from vitw_ray.comparison.readers.leaderboard import Conversations, Entry

JOB = Job(
    name="compare-readers",
    summary="Read the same conversations with several readers, then say how they differ, how good"
    " each is on\nconversations with known truth, and what each costs. Run it again to go on.",
    examples=(
        "vitw compare-readers --reader lexicon --reader simulated --sample 200",
        "vitw compare-readers --reader lexicon --reader one=qwen3-8b \\\n"
        "      --reader four=qwen3-8b,questions=separate --device gpu --gpus-per-actor 1",
    ),
)
WIDE = 26  # columns of a reader's name on a terminal
OUTPUT = "runs/readers"


def main(arguments: Sequence[str]) -> int:
    """Run every reader that is not finished, and compare them."""
    if not {"-h", "--help"}.isdisjoint(arguments):
        say(own_help().rstrip() + "\n")
    flags, rest = split_flags(arguments)
    if not any(word == "--output" or word.startswith("--output=") for word in rest):
        rest += ["--output", OUTPUT]  # the presets' is for a run
    base = settings_from(rest, JOB).config
    specs = read_specs(flags.reader)
    set_up_logging()
    from vitw_ray.cli.reader_runs import read_all
    from vitw_ray.comparison.readers.compared import Ways
    from vitw_ray.comparison.readers.headline import sign_count
    from vitw_ray.comparison.readers.leaderboard import leaderboard
    from vitw_ray.comparison.readers.page import render
    from vitw_ray.comparison.readers.tree_levels import clusters_of
    from vitw_ray.storage import Storage
    from vitw_ray.versions import versions

    clusters = None
    if flags.taxonomy:
        from vitw_ray.opened_run import open_run

        columns = ("facet", "cluster_id", "level", "parent_cluster_id")
        clusters = clusters_of(open_run(flags.taxonomy).table("taxonomy", columns).arrow)
    entries, conversations = read_all(base, specs, flags, say)
    similarity = cosines(base, entries, conversations)
    board = leaderboard(entries, conversations, similarity, Ways(similarity, clusters))
    board["embedder"] = base.taxonomy.embedder if similarity else None
    board["versions"] = versions()
    storage = Storage(base.execution.output)
    storage.write("leaderboard.json", (json.dumps(board, indent=1) + "\n").encode())
    storage.write("leaderboard.html", render(board).encode())
    for line in table(board):
        say(line)
    say_json(
        {
            "output": base.execution.output,
            "readers": [reader["name"] for reader in board["readers"]],
            "sample": board["sample"],
            "known": {known["name"]: known["conversations"] for known in board["known"]},
            "signs": {r["name"]: sign_count(r) for r in board["readers"]},
            "leaderboard": f"{base.execution.output}/leaderboard.json",
            "page": f"{base.execution.output}/leaderboard.html",
        }
    )
    return 0


def cosines(
    base: RunConfig, entries: "Sequence[Entry]", conversations: "Conversations"
) -> "Similarity | None":
    """Cosines of labels by the embedder of the settings; None, with a warning, without one."""
    from vitw_ray.agreement.measures import similarity_of
    from vitw_ray.comparison.readers.phrases import phrases_of
    from vitw_ray.errors import ConfigError
    from vitw_ray.inference.embedder import embed_unique, load_embedder

    name, revision = base.taxonomy.embedder, base.taxonomy.embedder_revision
    try:
        embedder = load_embedder(name, base.execution.device, revision)
    except (ConfigError, ImportError):
        log.warning("compare-readers: no embedder %s; labels are not matched by meaning", name)
        return None
    phrases = phrases_of(entries, conversations)
    return similarity_of(phrases, embed_unique(embedder, phrases))


def table(board: Mapping[str, Any]) -> list[str]:
    """The leaderboard for a terminal: a row per reader, and a block per set with known truth."""
    from vitw_ray.comparison.readers.headline import QUALITY, quality_of, sign_count

    lines = [
        "",
        _row("reader", "valid", "errors", "subjective", "AI values", "rows/s", "signs"),
    ]
    for reader in board["readers"]:
        levels = reader["distributions"]["is_subjective"]
        answered = sum(levels.values())
        lines.append(
            _row(
                reader["name"],
                count(reader["valid"]),
                percent(reader["error_share"]["value"]),
                percent(levels["yes"] / answered if answered else None, 0),
                decimal(reader["values_per_conversation"]["ai_values"]["value"], 1),
                decimal(reader["costs"]["rows_per_s"], 1),
                count(sign_count(reader)),
            )
        )
    for truth in ("labelled", "planted"):
        if any(truth in reader["quality"] for reader in board["readers"]):
            lines += ["", _row(f"on {truth} truth", *QUALITY)]
            lines += [
                _row(reader["name"], *map(_short, quality_of(reader["quality"][truth]).values()))
                for reader in board["readers"]
            ]
    return [*lines, ""]


def _short(estimate: Mapping[str, Any]) -> str:
    return UNKNOWN if estimate["value"] is None else decimal(estimate["value"])


def _row(name: str, *cells: str) -> str:
    return f"{name[:WIDE]:<{WIDE}}" + "".join(f"{cell:>13}" for cell in cells)


def own_help() -> str:
    """The flags that no other command has."""
    lines = []
    for name, (value, text) in FLAGS.items():
        left = f"{flag_of(name)} {value}"
        lines.append(
            f"  {left:<{COLUMN}}{text}" if len(left) < COLUMN else f"  {left}\n{'':>28}{text}"
        )
    return f"""vitw compare-readers --reader NAME=SETTINGS --reader NAME=SETTINGS ... [FLAGS]

Readers and what they are measured by
{chr(10).join(lines)}

SETTINGS are flags of vitw run about the reader, as key=value with commas between them. The first
may be a shorthand: lexicon, simulated, a profile, a model id or a folder. A shorthand alone is its
own name. All other flags hold for every reader.
"""
