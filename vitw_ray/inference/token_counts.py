"""How many tokens the prompts of a run have, by its reader's tokenizer, without an engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.inference.chat_prompt import PromptEncoder
from vitw_ray.inference.question import Question, turn_mark
from vitw_ray.inference.vllm_engine import block_tokens
from vitw_ray.inference.vllm_model import VllmModel
from vitw_ray.profiles import profile_of
from vitw_ray.records import Message


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """Tokens of the questions about one conversation.

    Attributes:
        body: of the conversation itself.
        prompt: of the whole prompts together.
        computed: of these, what an engine computes if it finds in its prefix cache what it has
            read before: the instructions, and the conversation from the second question on.
    """

    body: int
    prompt: int
    computed: int


class PromptCounter(VllmModel):
    """The prompts of `VllmModel`, made by the same code, and no engine to send them to."""

    def __init__(self, config: RunConfig, tokenizer: Any) -> None:
        """Count by a tokenizer that was loaded."""
        profile = profile_of(config.extraction.model or "")
        self._extraction = config.extraction
        self._block = block_tokens(config)
        self._encoder = PromptEncoder(
            tokenizer,
            template_kwargs=profile.template,
            answer_prefix=profile.answer_prefix,
            block_size=self._block,
        )
        self._mark_tokens = self._encoder.count(turn_mark("assistant"))

    def count(
        self, messages: Sequence[Message], questions: Sequence[Question], *, is_new: bool = True
    ) -> PromptTokens:
        """Tokens of these questions about a conversation.

        Args:
            messages: the conversation.
            questions: one after the other.
            is_new: the engine has not read it yet.
        """
        body = len(self.read(messages).token_ids)
        prompt = computed = 0
        for question in questions:
            frame = self._encoder.frame(question)
            prompt += len(frame.head) + body + len(frame.tail)
            known = body - body % self._block  # whole blocks are kept
            computed += len(frame.tail) + (body if is_new else body - known)
            is_new = False
        return PromptTokens(body, prompt, computed)


def prompt_counter(config: RunConfig, folder: str | None = None) -> PromptCounter | None:
    """Counts the prompts of a run's reader; None if its tokenizer is not on this machine.

    Args:
        config: the run.
        folder: with the tokenizer and chat template of its model, where the model itself is not at
            hand.

    Raises:
        ConfigError: the folder is none, or what is in it is no tokenizer with a chat template.
    """
    if folder is not None and not Path(folder).is_dir():
        raise ConfigError(f"--tokenizer {folder} is no folder", "give one with tokenizer.json")
    if config.extraction.model is None:
        return None
    profile = profile_of(config.extraction.model)
    place = folder or profile.model
    revision = config.extraction.revision or profile.revision
    try:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(
            place,
            trust_remote_code=False,
            mistral_format=False,
            local_files_only=True,  # a forecast downloads nothing
            **({} if revision is None or Path(place).is_dir() else {"revision": revision}),
        )
    except (ImportError, OSError, ValueError) as error:
        if folder is None:
            return None
        raise ConfigError(
            f"--tokenizer {folder} holds no tokenizer ({type(error).__name__})",
            "give a folder with tokenizer.json, tokenizer_config.json and the chat template",
        ) from None
    return PromptCounter(config, tokenizer)
