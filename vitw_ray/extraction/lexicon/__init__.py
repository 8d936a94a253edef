"""The lexicon extractor: a baseline of cues, sentence embeddings and small trained heads.

Input: `conversations`. Output: all facets of `extractions`. It uses no language model, is the
default on a laptop, and is the minimum that a language model has to exceed. All labels and tasks
come from its own files (values.json, tasks.json), never from the conversation.
"""

from vitw_ray.extraction.lexicon.extractor import LexiconExtractor

__all__ = ["LexiconExtractor"]
