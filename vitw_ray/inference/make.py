"""From settings to the language model that they name."""

from collections.abc import Sequence

from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.inference.language_model import LanguageModel
from vitw_ray.inference.question import Question


def make_language_model(config: RunConfig, questions: Sequence[Question]) -> LanguageModel:
    """Make the model of a run, not yet opened; called inside an actor.

    Args:
        config: the run.
        questions: what it will be asked, for the room that they need.

    Raises:
        ConfigError: an extractor without a language model, or settings that cannot work.
    """
    if config.extraction.extractor == "vllm":
        from vitw_ray.inference.vllm_model import VllmModel

        return VllmModel(config, questions)
    if config.extraction.extractor == "openai":
        from vitw_ray.inference.openai_server import OpenAIServer

        return OpenAIServer(config.extraction, config.execution, questions)
    raise ConfigError(
        f"--extractor {config.extraction.extractor} has no language model",
        "choose --extractor vllm or openai",
    )
