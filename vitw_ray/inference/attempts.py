"""Attempts at one request."""

from vitw_ray.config import ExtractionConfig

ATTEMPTS = 2  # ours: a second draw mends most cut answers, a third hardly any
RETRY_TEMPERATURE = 0.7  # ours: at 0 a second attempt would repeat the first


def temperature_and_room(config: ExtractionConfig, attempt: int) -> tuple[float, int]:
    """Sampling temperature and most tokens of an attempt, which counts from 0.

    A later one is another draw, with twice the room.
    """
    if not attempt:
        return config.temperature, config.max_output_tokens
    return max(config.temperature, RETRY_TEMPERATURE), 2 * config.max_output_tokens
