"""Create the language model that the settings select."""

from collections.abc import Sequence

from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.inference.language_model import LanguageModel
from vitw_ray.inference.question import Question


def make_language_model(config: RunConfig, questions: Sequence[Question]) -> LanguageModel:
    """Create the language model of a run, not yet opened; called inside an actor.

    Args:
        config: the configuration of the run.
        questions: the questions it will be asked; they decide the context size.

    Raises:
        ConfigError: the extractor has no language model, or the settings are invalid.
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
