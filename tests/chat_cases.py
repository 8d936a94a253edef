"""Each tokenizer family with its encoder, and properties to check for any text."""

from dataclasses import dataclass
from functools import cache

from tokenizer_families import Family, families

from vitw_ray.inference.chat_prompt import PromptEncoder

NAMES = ("chatml", "llama3", "gemma", "mistral", "harmony", "unigram")


@dataclass(frozen=True)
class Case:
    """A family and its encoder."""

    family: Family
    encoder: PromptEncoder

    def control(self, text: str) -> set[int]:
        return self.encoder.control_ids.intersection(self.encoder.encode(text))

    def survives(self, text: str) -> bool:
        # A leading period, because decoders derived from SentencePiece drop a leading space.
        ids = [*self.encoder.encode("."), *self.encoder.encode(text)]
        return self.family.decode(ids) == "." + self.family.normalized(text)


def encoder_of(family: Family, block_size: int = 16) -> PromptEncoder:
    return PromptEncoder(family.tokenizer, family.template_kwargs, family.answer_prefix, block_size)


@cache
def case_of(name: str) -> Case:
    (family,) = (family for family in families() if family.name == name)
    return Case(family, encoder_of(family))
