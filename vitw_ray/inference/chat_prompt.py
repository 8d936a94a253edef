"""Prompts as token ids, in which only the chat template can write control tokens.

    template | instructions | filler | template | fence | mark content mark content ... |
    fence cue | template | start of the answer

Pieces of the template go through the whole tokenizer, everything else through one without control
tokens (`content_tokenizer.py`). What stands before the first turn is the same for every
conversation and fills whole blocks of the engine's prefix cache.
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

BLOCK_SIZE = 16  # tokens; vLLM's default block of its prefix cache

# Ours: letters only, so that no template trims, escapes or splits them.
_SYSTEM, _USER = "SystemContentStandsHere", "UserContentStandsHere"

# Ours: templates print the date (gpt-oss, Llama 3), and a prompt must not change over night.
_DATE = {"%Y": "2025", "%y": "25", "%m": "01", "%B": "January", "%b": "Jan", "%d": "01"}
_DATE |= {"%A": "Wednesday", "%a": "Wed", "%H": "00", "%M": "00", "%S": "00"}
_FIXED_DATE = (  # a macro, since transformers lets no function of ours into a template
    "{%- macro strftime_now(format) -%}{{- format"
    + "".join(f"|replace('{code}', '{value}')" for code, value in _DATE.items())
    + " -}}{%- endmacro %}\n"
)

_RARE = "\U0010fffd"  # the last private character: no vocabulary has it
# Characters that would be taken for a space or a byte where bytes are tokens like `<0x0A>`.
_SPELT_IN_BYTES = re.compile(rf"{META_SPACE}|{_RARE}|<(?=0x[0-9A-F]{{2}}>)")


@dataclass(frozen=True, slots=True)
class Frame:
    """Token ids around the conversation; `head` is a whole number of cache blocks."""

    head: tuple[int, ...]
    tail: tuple[int, ...]

    def prompt(self, body: Sequence[int]) -> list[int]:
        """The ids of a whole prompt."""
        return [*self.head, *body, *self.tail]


class PromptEncoder:
    """Turns questions and conversations into token ids; may be called from many threads at once.

    `control_ids` are the ids that no content can give: those of all added tokens, special or not,
    except white space. Content survives exactly, up to the tokenizer's own normalizer (Qwen's NFC
    joins combining marks) and lone surrogates, which have no bytes and become U+FFFD.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        template_kwargs: Mapping[str, Any] | None = None,
        answer_prefix: str = "",
        block_size: int = BLOCK_SIZE,
    ) -> None:
        """Take a tokenizer apart.

        Args:
            tokenizer: A fast one, with a chat template.
            template_kwargs: Variables of the template, such as `enable_thinking`.
            answer_prefix: Text that opens the answer, control tokens included, such as
                `<|channel|>final<|message|>`.
            block_size: Tokens in a block of the engine's prefix cache.

        Raises:
            ConfigError: The tokenizer is slow, has no chat template or one that fails, or cannot
                write every text.
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
        self._check_that_every_text_can_be_written(tokenizer)
        self._filler = self.encode("\n")
        self._block_size = block_size
        self._frames: dict[tuple[str, str], Frame] = {}

    def _check_that_every_text_can_be_written(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        encoded = self._content.encode(_RARE, add_special_tokens=False).ids
        if self._bytes_are_tokens:
            written = encoded == self._in_bytes(_RARE)
        else:
            written = _RARE in self._content.decode(encoded, skip_special_tokens=False)
        if not written:
            fix = "name a model with a byte-level tokenizer or byte fallback"
            raise _unfit(tokenizer, "has a tokenizer that cannot write every text", fix)

    def frame(self, question: Question) -> Frame:
        """What stands before and after the conversation; computed once per question."""
        key = (question.before, question.after)
        if key not in self._frames:
            self._frames[key] = self._frame(question)
        return self._frames[key]

    def _frame(self, question: Question) -> Frame:
        before_system, between, after_user = self._template
        start = [*before_system, *self.encode(question.before)]
        end = [*between, *self.encode(FENCE)]
        missing = -(len(start) + len(end)) % self._block_size
        return Frame(
            head=(*start, *self._filler * missing, *end),
            tail=(*self.encode(closing(question)), *after_user),
        )

    def body(self, turns: Sequence[tuple[str, str]]) -> list[int]:
        """Ids of (mark, content) turns, each part by itself, so that counts of tokens add up."""
        encoded = self._encode_all([part for turn in turns for part in turn])
        return [index for ids in encoded for index in ids]

    def encode(self, text: str) -> list[int]:
        """Ids of a text from outside of the template; any text, and never a control token."""
        return self._encode_all([text])[0]

    def count(self, text: str) -> int:
        """Number of tokens of a text."""
        return len(self.encode(text))

    def _encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        texts = [_well_formed(text) for text in texts]
        if not self._bytes_are_tokens:
            return self._encode_batch(texts)
        encoded = self._encode_batch([_SPELT_IN_BYTES.sub(_RARE, text) for text in texts])
        spelt = map(_SPELT_IN_BYTES.findall, texts)
        return [
            self._respelt(*both) if both[1] else both[0]
            for both in zip(encoded, spelt, strict=True)
        ]

    def _encode_batch(self, texts: list[str]) -> list[list[int]]:
        encodings = self._content.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _respelt(self, ids: list[int], characters: Sequence[str]) -> list[int]:
        """Put the bytes of `characters`, in order, where the stand-in's bytes are."""
        stand_in = self._in_bytes(_RARE)
        bytes_of = {character: self._in_bytes(character) for character in set(characters)}
        left, respelt, at = iter(characters), [], 0
        while at < len(ids):
            if ids[at] == stand_in[0] and ids[at : at + len(stand_in)] == stand_in:
                respelt += bytes_of[next(left)]
                at += len(stand_in)
            else:
                respelt.append(ids[at])
                at += 1
        return respelt

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
    """The text of the chat template before the instructions, before the user's part, and after it.

    A template without a system role refuses it or drops it: the instructions then open the user's
    part.
    """
    from jinja2 import TemplateError

    user = {"role": "user", "content": _USER}
    head_of_user = {"role": "user", "content": f"{_SYSTEM}\n\n{_USER}"}
    try:
        template = _FIXED_DATE + tokenizer.get_chat_template()
    except ValueError:
        fix = "name the instruction-tuned model, not the base model"
        raise _unfit(tokenizer, "has no chat template", fix) from None
    problem = "it does not show the user's message once"
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
