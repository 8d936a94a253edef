"""`vitw compare-assistants`: which values each assistant shows more than another (paper, B.5).

Differences are on the same prompts where rows share a `prompt_id`, else with the tasks matched; in
brackets stands the difference adjusted for task, language and human values. The whole comparison,
with intervals and with periods in place of assistants, is the table `model_comparison` and a
section of the page.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vitw_ray.cli.printing import say, say_json
from vitw_ray.cli.run import last_line, run_with
from vitw_ray.cli.settings import settings_from
from vitw_ray.cli.short_help import Job

if TYPE_CHECKING:
    from vitw_ray.comparison.compare import Comparison

SHOWN = 5  # of the values that an assistant shows more
JOB = Job(
    name="compare-assistants",
    summary="Run every stage that is not finished, then print every two assistants side by side:"
    " which\nvalues each shows more, on the same prompts or with the tasks matched.",
    examples=(
        "vitw compare-assistants --input answers.jsonl.gz --output runs/assistants",
        "vitw compare-assistants --input logs --sample 9000 --balance-assistants",
        "ray job submit --working-dir . -- python jobs/compare_assistants.py --preset paper \\\n"
        "      --input s3://bucket/answers --output s3://bucket/runs/assistants",
    ),
    more_flags=("balance_assistants",),
)


def main(arguments: Sequence[str]) -> int:
    """Run what is not finished, and print the comparison."""
    settings = settings_from(arguments, JOB)
    result = run_with(settings)
    from vitw_ray.comparison.compare import compare_assistants

    found = list(compare_assistants(settings.config, result))
    for comparison in found:
        for line in side_by_side(comparison):
            say(line)
    differences = sum(len(comparison.pair.differing) for comparison in found)
    line = last_line(settings.config, result)
    say_json({**line, "pairs": len(found), "differences": differences})
    return 0


def side_by_side(comparison: "Comparison") -> Iterator[str]:
    """A pair of assistants: its sizes, and what each shows more."""
    pair = comparison.pair
    yield (
        f"\n{pair.model_a} ({pair.conversations[0]}) and {pair.model_b} ({pair.conversations[1]}):"
        f" {pair.overlap} of the commonest values shared"
    )
    for name, sign in ((pair.model_a, 1), (pair.model_b, -1)):
        shown = [described(row, comparison, sign) for row in pair.more(sign)[:SHOWN]]
        if shown:
            yield f"  {name} shows more, matched on {pair.matched_on}: {', '.join(shown)}"


def described(row: Mapping[str, Any], comparison: "Comparison", sign: int) -> str:
    """A value, by how many points it is shown more, and by how many once more is held fixed."""
    text = f"{row['label']} {100 * sign * row['difference']:+.1f}"
    adjusted = comparison.adjusted.get(row["label"])
    if adjusted is None or adjusted.difference is None:
        return text
    return f"{text} [{100 * sign * adjusted.difference:+.1f}]"
