"""The forecast that a run makes of itself when it starts, to be compared with what it took."""

from collections.abc import Collection
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.conversations.survey import Survey
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.forecast.forecast import make_forecast
from vitw_ray.inference.token_counts import prompt_counter
from vitw_ray.progress import log


def forecast_of_run(
    config: RunConfig, survey: Survey, to_do: Collection[str]
) -> dict[str, Any] | None:
    """What the run will take, in short; None where no model is to read, or its tokens not counted.

    It reads some pieces of the input and downloads nothing. What goes wrong in it ends no run.
    """
    has_model = EXTRACTORS[config.extraction.extractor].has_model
    if not has_model or "extractions" not in to_do:
        return None
    try:
        counter = prompt_counter(config)
        if counter is None:
            return None
        found = make_forecast(config, survey, counter=counter).in_short()
    except Exception as error:  # the message may quote a row; the stages will meet the error
        log.warning("there is no forecast of this run (%s)", type(error).__name__)
        return None
    log.info(
        "forecast: about %s conversations, %s tokens read, %s written, %s requests",
        *(
            f"{found[name]:,}"
            for name in ("conversations", "prompt_tokens", "output_tokens", "requests")
        ),
    )
    return found
