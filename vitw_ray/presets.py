"""Presets: functions that return a `RunConfig`. Flags then change single fields."""

from collections.abc import Callable

from vitw_ray.config import Execution, ExtractionConfig, LabelsConfig, RunConfig, TaxonomyConfig

MODEL = "qwen3-8b"  # ours: a small model that follows a schema well, under Apache-2.0


def laptop() -> RunConfig:
    """Two cores, no GPU, no hub: the lexicon reads, and a label needs 3 conversations.

    The support thresholds are scaled down because a few thousand conversations are not 308,210; the
    plan and the report say so.
    """
    return RunConfig(labels=LabelsConfig(min_conversations=3, min_accounts=1))


def smoke() -> RunConfig:
    """Simulated answers: all stages in seconds, to test the installation."""
    return RunConfig(
        extraction=ExtractionConfig(extractor="simulated"),
        labels=LabelsConfig(min_conversations=3, min_accounts=1),
        execution=Execution(output="runs/smoke"),
    )


def paper() -> RunConfig:
    """The paper's thresholds, sizes and embedder (1.4, 1.5), and qwen3-8b on 8 GPUs."""
    return RunConfig(
        extraction=ExtractionConfig(extractor="vllm", model=MODEL),
        taxonomy=TaxonomyConfig(embedder="mpnet", ai_value_levels=(266, 26, 5)),
        execution=Execution(
            output="runs/paper",
            device="gpu",
            actors=8,
            gpus_per_actor=1.0,
        ),
    )


def full_traffic() -> RunConfig:
    """qwen3-8b on 64 GPUs, in larger units: for tens of millions of conversations."""
    return RunConfig(
        extraction=ExtractionConfig(extractor="vllm", model=MODEL),
        taxonomy=TaxonomyConfig(ai_value_levels=(266, 26, 5)),
        execution=Execution(
            output="runs/full_traffic",
            device="gpu",
            actors=64,
            gpus_per_actor=1.0,
            unit_rows=1024,
            segment_rows=1024,
            segment_seconds=30.0,
            object_store_mb=4096,
        ),
    )


PRESETS: dict[str, Callable[[], RunConfig]] = {
    "laptop": laptop,
    "smoke": smoke,
    "paper": paper,
    "full_traffic": full_traffic,
}
