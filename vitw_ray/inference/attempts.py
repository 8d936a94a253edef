"""Retry policy of one request."""

from vitw_ray.config import ExtractionConfig

ATTEMPTS = 2  # ours: a second attempt fixes most truncated answers, a third hardly any more
RETRY_TEMPERATURE = 0.7  # ours: at 0 a second attempt would repeat the first


LINES_HOLD = 3  # ours: a labelled answer in lines has 0.23-0.33 of the tokens of one in JSON


def temperature_and_room(
    config: ExtractionConfig, attempt: int, *, in_lines: bool = False
) -> tuple[float, int]:
    """Sampling temperature and token limit of an attempt; `attempt` counts from 0.

    A retry samples at a higher temperature and with twice the limit. Lines have a third of the
    room of JSON, because decoding does not end a list of values that has no end.
    """
    room = max(config.max_output_tokens // (LINES_HOLD if in_lines else 1), 16)
    if not attempt:
        return config.temperature, room
    return max(config.temperature, RETRY_TEMPERATURE), 2 * room
