"""Retry policy of one request."""

from vitw_ray.config import ExtractionConfig

ATTEMPTS = 2  # ours: a second attempt fixes most truncated answers, a third hardly any more
RETRY_TEMPERATURE = 0.7  # ours: at 0 a second attempt would repeat the first


def temperature_and_room(config: ExtractionConfig, attempt: int) -> tuple[float, int]:
    """Sampling temperature and token limit of an attempt; `attempt` counts from 0.

    A retry samples at a higher temperature and with twice the limit.
    """
    if not attempt:
        return config.temperature, config.max_output_tokens
    return max(config.temperature, RETRY_TEMPERATURE), 2 * config.max_output_tokens
