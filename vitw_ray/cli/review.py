"""`vitw review`: people label a sample of a run, and their labels are compared with the reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from vitw_ray.cli.printing import say, say_json
from vitw_ray.wording import count, percent

if TYPE_CHECKING:
    from vitw_ray.evaluation.review.draw import Drawn

WIDE = 56  # columns of a stratum's name on a terminal


@dataclass(frozen=True)
class Draw:
    """Draw conversations of a finished run for people to label, and write the page for it.

    Everything is written under the run's private/review-NAME/. Send label.html to the labellers,
    each of whom takes another number: it holds the text of conversations, so treat it as private.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder: a local path or an s3:// address."""
    size: int = 200
    """Conversations in the sample."""
    labellers: int = 2
    """People who label."""
    overlap: float = 0.5
    """Share that everybody labels; each of the others is labelled by one person."""
    name: str = "main"
    """Name of the review, for more than one per run."""
    seed: int = 0
    """Seed of the draw."""


@dataclass(frozen=True)
class Score:
    """Compare the labels of people with each other and with the reader.

    Writes score.json (aggregates) and reviewed.jsonl (a line per labelled conversation) beside the
    sample.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run folder that the sample was drawn from."""
    labels: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="LABELS [LABELS ...]")
    ]
    """Files that the labellers saved: JSON, local or s3://."""
    precision: float = 0.05
    """Wanted half width of intervals: how many more labels does it take?"""
    epsilon: float = 0.15
    """Of the alt-test: how much better than the reader a labeller may be. 0.2 for experts, 0.15 for
    trained labellers, 0.1 for crowd workers."""


def main(arguments: Sequence[str]) -> int:
    """Draw a sample, or score its labels."""
    asked = tyro.extras.subcommand_cli_from_dict(
        {"draw": Draw, "score": Score},
        args=arguments,
        prog="vitw review",
        description="Let people label a sample of a run, and compare the reader with them.",
    )
    return _draw(asked) if isinstance(asked, Draw) else _score(asked)


def _draw(asked: Draw) -> int:
    from vitw_ray.evaluation.review.draw import PAGE, DrawConfig, draw
    from vitw_ray.opened_run import open_run

    config = DrawConfig(
        name=asked.name,
        size=asked.size,
        labellers=asked.labellers,
        overlap=asked.overlap,
        seed=asked.seed,
    )
    run = open_run(asked.run)
    drawn = draw(run, config)
    for line in drawn_lines(drawn):
        say(line)
    say_json(
        {
            "run": run.address,
            "folder": run.storage.address(drawn.folder),
            "page": run.storage.address(f"{drawn.folder}/{PAGE}"),
            "sample": drawn.manifest["sample"],
            "drawn": drawn.manifest["drawn"],
            "strata": len(drawn.manifest["strata"]),
        }
    )
    return 0


def drawn_lines(drawn: "Drawn") -> list[str]:
    """The strata and the shares of the labellers, for a terminal."""
    manifest = drawn.manifest
    left_out = sum(manifest["left_out"].values())
    lines = [
        f"{count(manifest['drawn'])} of {count(manifest['population'])} conversations; "
        f"{count(left_out)} that the reader failed on are no part of it",
        "",
        f"{'stratum':<{WIDE}}{'conversations':>15}{'drawn':>8}{'share':>8}",
    ]
    for stratum in manifest["strata"]:
        share = percent(stratum["drawn"] / stratum["size"], 0)
        lines.append(
            f"{stratum['name'][: WIDE - 1]:<{WIDE}}{count(stratum['size']):>15}"
            f"{count(stratum['drawn']):>8}{share:>8}"
        )
    by_all = manifest["labelled_by_all"]
    shares = ", ".join(f"{n}: {count(m)}" for n, m in enumerate(manifest["labelled_by"], 1))
    return [*lines, "", f"each labeller labels ({shares}), {count(by_all)} of them everybody", ""]


def _score(asked: Score) -> int:
    from vitw_ray.evaluation.review.score import REVIEWED, SCORE, score
    from vitw_ray.evaluation.review.table import lines
    from vitw_ray.opened_run import open_run

    run = open_run(asked.run)
    folder, found = score(run, asked.labels, asked.precision, asked.epsilon)
    for line in lines(found):
        say(line)
    say_json(
        {
            "run": run.address,
            "labelled": found["labelled"],
            "labellers": len(found["labellers"]),
            "score": run.storage.address(f"{folder}/{SCORE}"),
            "reviewed": run.storage.address(f"{folder}/{REVIEWED}"),
        }
    )
    return 0
