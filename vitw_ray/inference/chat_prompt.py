"""Encode prompts as token ids so that only the chat template can produce control tokens.

    template | instructions | filler | template | fence | mark content mark content ... |
    fence cue | template | start of the answer

Pieces of the template are encoded by the full tokenizer, everything else by one without control
tokens (`content_tokenizer.py`). The tokens before the first turn are the same for every
conversation, and are padded to whole blocks of the engine's prefix cache.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import loads
from typing import TYPE_CHECKING, Any

from vitw_ray.errors import ConfigError
from vitw_ray.inference.content_tokenizer import (
    META_SPACE,
    content_tokenizer,
    control_tokens,
    template_tokenizer,
)
from vitw_ray.inference.question import FENCE, Question, closing

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BLOCK_SIZE = 16  # tokens; vLLM's default block size of the prefix cache

# Placeholders. Letters only, so that no template trims, escapes or splits them.
_SYSTEM, _USER = "SystemContentStandsHere", "UserContentStandsHere"

# Some templates print the current date (gpt-oss, Llama 3). A prompt must not depend on the day.
_DATE = {"%Y": "2025", "%y": "25", "%m": "01", "%B": "January", "%b": "Jan", "%d": "01"}
_DATE |= {"%A": "Wednesday", "%a": "Wed", "%H": "00", "%M": "00", "%S": "00"}
_FIXED_DATE = (  # a macro, because transformers does not accept custom functions in a template
    "{%- macro strftime_now(format) -%}{{- format"
    + "".join(f"|replace('{code}', '{value}')" for code, value in _DATE.items())
    + " -}}{%- endmacro %}\n"
)

_RARE = "\U0010fffd"  # last private-use character: no vocabulary contains it
# With byte fallback, text that the tokenizer would take for a space or for a token like `<0x0A>`.
_BYTE_ENCODED = re.compile(rf"{META_SPACE}|{_RARE}|<(?=0x[0-9A-F]{{2}}>)")


@dataclass(frozen=True, slots=True)
class Frame:
    """Token ids before and after the conversation; `head` fills whole cache blocks."""

    head: tuple[int, ...]
    tail: tuple[int, ...]

    def prompt(self, body: Sequence[int]) -> list[int]:
        """Token ids of the complete prompt."""
        return [*self.head, *body, *self.tail]


class PromptEncoder:
    """Encodes questions and conversations as token ids. Thread-safe.

    `control_ids` are the ids that content can never produce: all added tokens, special or not,
    except white space. Content is preserved exactly, with two exceptions: the tokenizer's own
    normalizer (Qwen's NFC joins combining marks), and lone surrogates, which become U+FFFD.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        template_kwargs: Mapping[str, Any] | None = None,
        answer_prefix: str = "",
        block_size: int = BLOCK_SIZE,
    ) -> None:
        """Derive the template and content tokenizers from `tokenizer`.

        Args:
            tokenizer: A fast tokenizer with a chat template.
            template_kwargs: Variables of the template, such as `enable_thinking`.
            answer_prefix: Text that opens the answer, control tokens included, such as
                `<|channel|>final<|message|>`.
            block_size: Tokens per block of the engine's prefix cache.

        Raises:
            ConfigError: The tokenizer is not a fast one, has no working chat template, or cannot
                encode every text.
        """
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise _unfit(tokenizer, "has no fast tokenizer", "name a model with tokenizer.json")
        description = loads(backend.to_str())
        pieces = _template_pieces(tokenizer, dict(template_kwargs or {}))
        whole = template_tokenizer(description)
        self._template = [
            whole.encode(piece, add_special_tokens=False).ids
            for piece in (*pieces[:2], pieces[2] + answer_prefix)
        ]
        self.control_ids = control_tokens(description)
        try:
            self._content = content_tokenizer(description)
        except ValueError as error:
            fix = "name a model with a BPE or Unigram tokenizer"
            raise _unfit(tokenizer, f"has an unknown kind of tokenizer ({error})", fix) from None
        self._bytes_are_tokens = bool(description["model"].get("byte_fallback"))
        self._check_that_every_text_can_be_encoded(tokenizer)
        self._filler = self.encode("\n")
        self._block_size = block_size
        self._frames: dict[Question, Frame] = {}

    def _check_that_every_text_can_be_encoded(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        encoded = self._content.encode(_RARE, add_special_tokens=False).ids
        if self._bytes_are_tokens:
            round_trips = encoded == self._in_bytes(_RARE)
        else:
            round_trips = _RARE in self._content.decode(encoded, skip_special_tokens=False)
        if not round_trips:
            fix = "name a model with a byte-level tokenizer or byte fallback"
            raise _unfit(tokenizer, "has a tokenizer that cannot encode every text", fix)

    def frame(self, question: Question) -> Frame:
        """Token ids before and after the conversation; computed once per question."""
        if question not in self._frames:
            self._frames[question] = self._frame(question)
        return self._frames[question]

    def _frame(self, question: Question) -> Frame:
        before_system, between, after_user = self._template
        start = [*before_system, *self.encode(question.before)]
        end = [*between, *self.encode(FENCE)]
        missing = -(len(start) + len(end)) % self._block_size
        return Frame(
            head=(*start, *self._filler * missing, *end),
            tail=(*self.encode(closing(question)), *after_user, *self.encode(question.opening)),
        )

    def body(self, turns: Sequence[tuple[str, str]]) -> list[int]:
        """Token ids of (mark, content) turns. Parts are encoded separately: token counts add up."""
        encoded = self._encode_all([part for turn in turns for part in turn])
        return [index for ids in encoded for index in ids]

    def encode(self, text: str) -> list[int]:
        """Token ids of a text that is not part of the template; never a control token."""
        return self._encode_all([text])[0]

    def count(self, text: str) -> int:
        """Number of tokens of a text."""
        return len(self.encode(text))

    def _encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        texts = [_well_formed(text) for text in texts]
        if not self._bytes_are_tokens:
            return self._encode_batch(texts)
        encoded = self._encode_batch([_BYTE_ENCODED.sub(_RARE, text) for text in texts])
        replaced = map(_BYTE_ENCODED.findall, texts)
        return [
            self._restored(*both) if both[1] else both[0]
            for both in zip(encoded, replaced, strict=True)
        ]

    def _encode_batch(self, texts: list[str]) -> list[list[int]]:
        encodings = self._content.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _restored(self, ids: list[int], characters: Sequence[str]) -> list[int]:
        """Replace each placeholder's byte tokens with those of `characters`, in order."""
        placeholder = self._in_bytes(_RARE)
        bytes_of = {character: self._in_bytes(character) for character in set(characters)}
        remaining, restored, at = iter(characters), [], 0
        while at < len(ids):
            if ids[at] == placeholder[0] and ids[at : at + len(placeholder)] == placeholder:
                restored += bytes_of[next(remaining)]
                at += len(placeholder)
            else:
                restored.append(ids[at])
                at += 1
        return restored

    def _in_bytes(self, character: str) -> list[int | None]:
        return [self._content.token_to_id(f"<0x{byte:02X}>") for byte in character.encode()]


def _well_formed(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _template_pieces(
    tokenizer: "PreTrainedTokenizerBase", variables: dict[str, Any]
) -> tuple[str, str, str]:
    """Text of the chat template before the instructions, before the user content, and after it.

    If the template rejects or drops the system role, the instructions start the user message.
    """
    from jinja2 import TemplateError

    user = {"role": "user", "content": _USER}
    head_of_user = {"role": "user", "content": f"{_SYSTEM}\n\n{_USER}"}
    try:
        template = _FIXED_DATE + tokenizer.get_chat_template()
    except ValueError:
        fix = "name the instruction-tuned model, not the base model"
        raise _unfit(tokenizer, "has no chat template", fix) from None
    problem = "it does not render the user's message exactly once"
    for messages in ([{"role": "system", "content": _SYSTEM}, user], [head_of_user]):
        try:
            text = tokenizer.apply_chat_template(
                messages,
                chat_template=template,
                tokenize=False,
                add_generation_prompt=True,
                **variables,
            )
        except (TemplateError, TypeError, ValueError) as error:
            problem = str(error)
            continue
        pieces = re.split(f"{_SYSTEM}|{_USER}", str(text))
        if len(pieces) == 3 and str(text).find(_SYSTEM) < str(text).find(_USER):
            return pieces[0], pieces[1], pieces[2]
    fix = "check template_kwargs against the model's chat template"
    raise _unfit(tokenizer, f"has a chat template that fails: {problem}", fix)


def _unfit(tokenizer: "PreTrainedTokenizerBase", problem: str, fix: str) -> ConfigError:
    return ConfigError(f"model {tokenizer.name_or_path!r} {problem}", fix)
