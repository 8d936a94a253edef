"""`vitw distill`: heads from the answers of a finished run, for the screen of the next one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from vitw_ray.cli.printing import say_json
from vitw_ray.errors import OutputError
from vitw_ray.progress import set_up_logging
from vitw_ray.storage import Storage


@dataclass(frozen=True)
class Arguments:
    """Train small heads on the answers of a finished run, before its private part is purged.

    A later run starts from them with --screen --screen-heads FOLDER: it trains none, and certifies
    them on answers of its own. The folder holds weights and measures, and no conversation.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder: a local path or an s3:// address."""
    output: str = "heads"
    """Folder for the heads; created if missing."""
    rows: int = 4000
    """Most conversations to train on."""


def main(arguments: Sequence[str]) -> int:
    """Train the heads and write them."""
    asked = tyro.cli(Arguments, args=arguments, prog="vitw distill")
    from vitw_ray.extraction.screen.distill import distill, write_heads
    from vitw_ray.finished_run import read_finished
    from vitw_ray.run_folder import tables_of

    set_up_logging()
    storage = Storage(asked.run)
    finished = read_finished(storage)
    tables = {}
    for manifest in finished.manifests.values():
        tables |= tables_of(manifest)
    if "extractions" not in tables:
        raise OutputError(f"{asked.run} has no extractions", "run it up to that stage at least")
    record = distill(
        storage, tables["conversations"], tables["extractions"], finished.config, asked.rows
    )
    path = write_heads(asked.output, record)
    say_json({"run": asked.run, "heads": path, "rows": record["rows"], **record["metrics"]})
    return 0
