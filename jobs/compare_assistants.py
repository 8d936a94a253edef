r"""Compare the models under study: which values each shows more (paper, B.5).

    python jobs/compare_assistants.py --input answers.jsonl.gz --output runs/models
    ray job submit --working-dir . -- python jobs/compare_assistants.py --preset paper \
        --input 's3://bucket/answers/' --output s3://bucket/runs/models

Runs all stages that are not finished, then prints every two models side by side. Differences are on
the same prompts where rows share a `prompt_id`, else with the tasks matched; in brackets stands the
difference adjusted for task, language and human values. The whole comparison, with intervals and
with periods in place of models, is the table `model_comparison` and a section of the page.
"""

import sys
from collections.abc import Mapping
from typing import Any

from vitw_ray.command_line import run_job
from vitw_ray.comparison.compare import Comparison, compare_assistants
from vitw_ray.config import RunConfig

SHOWN = 5  # of the values that a model shows more


def side_by_side(config: RunConfig, run: Mapping[str, Any]) -> Mapping[str, Any]:
    """Print each pair of models; what the last line of the job says of them."""
    found = list(compare_assistants(config, run))
    for comparison in found:
        pair = comparison.pair
        print(f"\n{pair.model_a} ({pair.conversations[0]}) and {pair.model_b} ", end="")
        print(f"({pair.conversations[1]}): {pair.overlap} of the commonest values shared")
        for name, sign in ((pair.model_a, 1), (pair.model_b, -1)):
            shown = [described(row, comparison, sign) for row in pair.more(sign)[:SHOWN]]
            if shown:
                print(f"  {name} shows more, matched on {pair.matched_on}: {', '.join(shown)}")
    return {
        "pairs": len(found),
        "differences": sum(len(comparison.pair.differing) for comparison in found),
    }


def described(row: Mapping[str, Any], comparison: Comparison, sign: int) -> str:
    """A value, by how many points it is shown more, and by how many once more is held fixed."""
    text = f"{row['label']} {100 * sign * row['difference']:+.1f}"
    adjusted = comparison.adjusted.get(row["label"])
    if adjusted is None or adjusted.difference is None:
        return text
    return f"{text} [{100 * sign * adjusted.difference:+.1f}]"


if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1:], __doc__ or "", then=side_by_side))
