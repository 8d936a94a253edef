"""Chat tokenizers in the styles of six families, trained on the fly on a few invented lines.

Each has the characteristic parts of its family: whether control tokens are only added tokens or
also in the model's vocabulary, how spaces and unknown characters are encoded, the chat template.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken, Regex, Tokenizer, normalizers, trainers
from tokenizers import decoders as decode
from tokenizers import models as model
from tokenizers import pre_tokenizers as pre

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
VOCABULARY = 700  # ours: bytes and letters, and a few hundred longer pieces
WORD_PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+"

_WORDS = (
    *("and", "are", "for", "garden", "how", "in", "is", "letter", "my", "of", "please", "the"),
    *("to", "what", "why", "you", "answer", "assistant", "careful", "final", "system", "user"),
    *("endofturn", "café", "naïve", "über", "да", "水", "<td>", "</td>", "<|", "|>", "  "),
)


@dataclass(frozen=True)
class Family:
    """A tokenizer, its template's variables, and its normalizer as a function."""

    name: str
    tokenizer: "PreTrainedTokenizerFast"
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    answer_prefix: str = ""
    normalized: Callable[[str], str] = str

    @property
    def control_words(self) -> list[str]:
        """All added tokens except white space."""
        added = self.tokenizer.added_tokens_decoder.values()
        words = [str(token) for token in added]
        return [word for word in words if word.replace("▁", " ").strip()]

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.backend_tokenizer.decode(list(ids), skip_special_tokens=False)


@cache
def families() -> tuple[Family, ...]:
    return (_chatml(), _llama3(), _gemma(), _mistral(), _harmony(), _unigram())


def _chatml() -> Family:
    """Like Qwen: byte-level BPE, NFC; tokens for reasoning and tools are added but not special."""
    made = _byte_level(pre.Split(Regex(WORD_PATTERN), "isolated"))
    made.normalizer = normalizers.NFC()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    plain = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "\t\t"]
    template = (
        "{%- for message in messages %}"
        "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
        "{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
        "{%- if enable_thinking is defined and not enable_thinking %}"
        "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
    )
    return Family(
        "chatml",
        _wrapped(made, special, plain, template),
        template_kwargs={"enable_thinking": False},
        normalized=normalizers.NFC().normalize_str,
    )


def _llama3() -> Family:
    """Byte-level BPE that looks up whole words first, including control tokens; prints a date."""
    plain = ["<|python_tag|>", "endofturn", "<tool_response>"]
    special = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    split = pre.Split(Regex(WORD_PATTERN), "isolated")
    made = _byte_level(split, special_tokens=[*special, *plain], ignore_merges=True)
    template = (
        "{{- bos_token }}"
        "{%- if not date_string is defined %}"
        "{%- if strftime_now is defined %}{%- set date_string = strftime_now('%d %b %Y') %}"
        "{%- else %}{%- set date_string = '26 Jul 2024' %}{%- endif %}{%- endif %}"
        "{%- if messages[0]['role'] == 'system' %}"
        "{%- set system_message = messages[0]['content']|trim %}"
        "{%- set messages = messages[1:] %}"
        "{%- else %}{%- set system_message = '' %}{%- endif %}"
        "{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}"
        "{{- 'Today Date: ' + date_string + '\\n\\n' + system_message + '<|eot_id|>' }}"
        "{%- for message in messages %}"
        "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
        "{{- message['content'] | trim + '<|eot_id|>' }}"
        "{%- endfor %}"
        "{%- if add_generation_prompt %}"
        "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
    )
    return Family("llama3", _wrapped(made, special, plain, template, bos_token=special[0]))


def _gemma() -> Family:
    """Like SentencePiece: spaces are characters, unknown characters are bytes; no system role.

    Runs of white space and HTML tags are added tokens, and merges produce some of them.
    """
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    plain = ["<unused0>", "[multimodal]", "<td>", "</td>", "<table>", "\n\n", "\n\n\n", "▁▁", "▁▁▁"]
    made = _byte_fallback([*special, *plain], normalizers.Replace(" ", "▁"), None)
    made.decoder = decode.Sequence([decode.Replace("▁", " "), decode.ByteFallback(), decode.Fuse()])
    template = (
        "{{ bos_token }}"
        "{%- if messages[0]['role'] == 'system' -%}"
        "{{ raise_exception('System role not supported') }}{%- endif -%}"
        "{%- for message in messages -%}"
        "{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}"
        "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}"
    )
    return Family("gemma", _wrapped(made, special, plain, template, bos_token="<bos>"))


def _mistral() -> Family:
    """Adds a leading space to a text; the instructions are part of the user's turn."""
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    plain = ["[TOOL_CALLS]", "[AVAILABLE_TOOLS]"]
    space = pre.Metaspace(prepend_scheme="first", split=False)
    made = _byte_fallback([*special, *plain], None, space)
    made.decoder = decode.Sequence(
        [decode.Replace("▁", " "), decode.ByteFallback(), decode.Fuse(), decode.Strip(" ", 1, 0)]
    )
    template = (
        "{%- if messages[0]['role'] == 'system' %}"
        "{%- set system_message = messages[0]['content'] + '\\n\\n' %}"
        "{%- set messages = messages[1:] %}"
        "{%- else %}{%- set system_message = '' %}{%- endif %}"
        "{{- bos_token }}"
        "{%- for message in messages %}"
        "{%- if message['role'] == 'user' %}"
        "{{- '[INST] ' + (system_message if loop.last else '') + message['content'] + '[/INST]' }}"
        "{%- else %}{{- ' ' + message['content'] + eos_token }}{%- endif %}"
        "{%- endfor %}"
    )
    words = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return Family("mistral", _wrapped(made, special, plain, template, **words))


def _harmony() -> Family:
    """Like gpt-oss: channels, a date printed inside a macro, and an answer prefix."""
    special = ["<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>"]
    special += ["<|start|>", "<|end|>", "<|message|>", "<|call|>"]
    plain = ["<|reserved_200017|>", "<reflection>"]
    made = _byte_level(pre.Split(Regex(WORD_PATTERN), "isolated"))
    template = (
        "{%- macro system_message() %}"
        "{{- 'Current date: ' + strftime_now('%Y-%m-%d') + '\\n\\n' }}"
        "{{- 'Reasoning: ' + (reasoning_effort if reasoning_effort is defined else 'medium') }}"
        "{%- endmacro %}"
        "{{- '<|start|>system<|message|>' }}{{- system_message() }}{{- '<|end|>' }}"
        "{%- for message in messages %}"
        "{%- set role = 'developer' if message.role == 'system' else message.role %}"
        "{{- '<|start|>' + role + '<|message|>' + message.content + '<|end|>' }}"
        "{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}"
    )
    return Family(
        "harmony",
        _wrapped(made, special, plain, template),
        template_kwargs={"reasoning_effort": "low"},
        answer_prefix="<|channel|>final<|message|>",
    )


def _unigram() -> Family:
    """A Unigram model: control tokens are ordinary pieces; the template drops the system turn."""
    special = ["<unk>", "<s>", "</s>", "<|user|>", "<|bot|>", "<|思|>"]
    plain = ["<tool>", "</tool>"]
    trained = Tokenizer(model.Unigram())
    trained.pre_tokenizer = pre.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=VOCABULARY, unk_token="?", show_progress=False)
    trained.train_from_iterator(_lines(), trainer)
    learnt = json.loads(trained.to_str())["model"]["vocab"]
    taken = {*special, *plain, "?"}
    pieces = [(word, 0.0) for word in [*special, *plain, *BYTES]]
    pieces += [(piece, score) for piece, score in learnt if piece not in taken]
    made = Tokenizer(model.Unigram(pieces, unk_id=0, byte_fallback=True))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre.Metaspace(prepend_scheme="first")
    made.decoder = decode.Sequence(
        [decode.Replace("▁", " "), decode.ByteFallback(), decode.Fuse(), decode.Strip(" ", 1, 0)]
    )
    template = (
        "{{ bos_token }}"
        "{%- for message in messages if message.role != 'system' -%}"
        "{{ '<|' + message.role + '|>' + message.content + eos_token }}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|bot|>' }}{%- endif -%}"
    )
    words = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return Family(
        "unigram",
        _wrapped(made, special, plain, template, **words),
        normalized=normalizers.NFKC().normalize_str,
    )


def _byte_level(
    split: pre.PreTokenizer, special_tokens: Sequence[str] = (), ignore_merges: bool = False
) -> Tokenizer:
    made = Tokenizer(model.BPE(ignore_merges=ignore_merges))
    made.pre_tokenizer = pre.Sequence(
        [split, pre.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    made.decoder = decode.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(special_tokens),
        initial_alphabet=pre.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_lines(), trainer)
    return made


def _byte_fallback(
    first: Sequence[str], normalizer: normalizers.Normalizer | None, space: pre.PreTokenizer | None
) -> Tokenizer:
    """A BPE that encodes spaces as characters; the words of `first` and all bytes come first."""
    trained = Tokenizer(model.BPE())
    trained.pre_tokenizer = pre.Sequence([pre.Split(" ", "merged_with_next"), pre.Metaspace()])
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, show_progress=False)
    trained.train_from_iterator(_lines(), trainer)
    learnt = json.loads(trained.to_str())["model"]
    pieces = dict.fromkeys([*first, *BYTES, *learnt["vocab"]])
    vocab = {piece: index for index, piece in enumerate(pieces)}
    merges = [(left, right) for left, right in learnt["merges"]]
    if "▁▁" in vocab:
        merges.append(("▁", "▁"))
    made = Tokenizer(model.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalizer is not None:
        made.normalizer = normalizer
    if space is not None:
        made.pre_tokenizer = space
    return made


def _wrapped(
    made: Tokenizer, special: Sequence[str], plain: Sequence[str], template: str, **words: str
) -> "PreTrainedTokenizerFast":
    from transformers import PreTrainedTokenizerFast

    made.add_special_tokens(list(special))
    made.add_tokens([AddedToken(word, normalized=False) for word in plain])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, chat_template=template, model_max_length=4096, **words
    )


def _lines() -> Iterator[str]:
    rng = Random(0)
    for _ in range(600):
        yield " ".join(rng.choices(_WORDS, k=rng.randint(4, 14))) + rng.choice(".!?")
    yield "".join(map(chr, range(33, 127)))
