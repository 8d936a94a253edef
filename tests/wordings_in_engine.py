"""One engine that is asked in all wordings; runs in the process of `engine_process`."""

from collections.abc import Sequence
from dataclasses import replace

from vitw_ray.config import RunConfig
from vitw_ray.extraction.answers import Extracted, in_order
from vitw_ray.extraction.model_extractor import EventLoop, ModelExtractor
from vitw_ray.extraction.questions import questions_for
from vitw_ray.inference.make import make_language_model
from vitw_ray.records import Conversation


def answer_in_wordings(
    config: RunConfig, paraphrases: Sequence[int], conversations: Sequence[Conversation]
) -> dict[tuple[str, int], list[Extracted]]:
    """Answers by form of questions and wording, all by one engine."""
    asked = {
        (form, paraphrase): questions_for(
            replace(config.extraction, questions=form, paraphrase=paraphrase, strict=True)
        )
        for form in ("one_pass", "separate")
        for paraphrase in paraphrases
    }
    every = [question for questions in asked.values() for question in questions.all]
    model, loop = make_language_model(config, every), EventLoop()
    loop.run(model.open())
    try:
        return {
            key: in_order(
                ModelExtractor(model, loop, questions, gate=1, in_flight=2), conversations
            )
            for key, questions in asked.items()
        }
    finally:
        model.close()
