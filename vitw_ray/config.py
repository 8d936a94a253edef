"""Every setting of a run: one frozen dataclass per stage, and `RunConfig` that holds them.

The classes are also the command line: `vitw run --help-all` prints them, with the string
under each field as its help. A field name is therefore unique over all classes. What is in the
stage classes decides the content of tables and enters the stages' keys; what is in `Execution`
decides only where and how fast, and does not (but for `device`: see there).
"""

from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Literal

from vitw_ray import paper
from vitw_ray.errors import ConfigError
from vitw_ray.execution import Execution
from vitw_ray.extractor_kinds import EXTRACTORS, ExtractorName
from vitw_ray.profiles import HASHING, embedder_profile, profile_of, refuse_unknown_reader
from vitw_ray.setting_checks import at_least, between, json_object

SAMPLE = Path(__file__).parent / "evaluation" / "sample" / "conversations.jsonl.gz"
"""The planted conversations that ship with the package."""

LISTED_TOKENS = 1024  # ours: a hundred names of two to five words, and the numbers before them

SourceFormat = Literal[
    "auto",
    "vitw",
    "wildchat",
    "lmsys",
    "sharegpt",
    "openai",
    "oasst",
    "hh-rlhf",
    "claude-export",
    "chatgpt-export",
]


@dataclass(frozen=True, kw_only=True)
class ConversationsConfig:
    """Stage 1: which conversations are read."""

    input: tuple[str, ...] = (str(SAMPLE),)
    """Files, folders or globs, local or s3://. Default: the sample that ships with the project."""
    source_format: SourceFormat = "auto"
    """Shape of the rows; auto recognises it from the columns."""
    source_name: str | None = None
    """Name of the data set for rows that do not say; default: the name of the shape."""
    sample: int | None = None
    """Keep this many conversations, drawn uniformly. The draw is a hash of the id: it does not
    depend on the order of files or rows."""
    sample_seed: int = 0
    """Another seed is another draw."""
    balance_assistants: bool = False
    """Draw the sample evenly over the assistants."""
    max_per_account: int | None = None
    """Keep at most this many conversations of one account."""
    created_from: date | None = None
    """First day (UTC) to keep; rows without a date are rejected when a range is given."""
    created_until: date | None = None
    """Last day (UTC) to keep."""
    max_conversation_chars: int = 1_000_000
    """Longer conversations are rejected (ours: it bounds the memory)."""
    rows_per_part: int = 4096
    """Rows per file of a table (ours: about 25 MB of chat text a file)."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        at_least("sample", self.sample, 1)
        at_least("max_per_account", self.max_per_account, 1)
        at_least("max_conversation_chars", self.max_conversation_chars, 1)
        at_least("rows_per_part", self.rows_per_part, 1)
        if not self.input:
            raise ConfigError("--input names no file", "give at least one path or glob")
        if self.balance_assistants and self.sample is None:
            raise ConfigError(
                "--balance-assistants divides a sample, and there is no --sample",
                "add --sample N, or drop --balance-assistants",
            )
        if self.created_from and self.created_until and self.created_from > self.created_until:
            raise ConfigError("--created-from is after --created-until", "swap the two dates")


@dataclass(frozen=True, kw_only=True)
class ExtractionConfig:
    """Stage 2: who reads the conversations, and how much of each."""

    extractor: ExtractorName = "lexicon"
    """vllm: an open-weight model in the actors' own engines. openai: a model behind any server that
    speaks OpenAI's chat API. lexicon: an honest baseline without a language model. simulated:
    made-up answers, for benchmarks and dry runs."""
    model: str | None = None
    """For vllm a profile (qwen3-8b, ...), a model id of the Hugging Face hub or a folder; for
    openai the name that the server knows it by."""
    revision: str | None = None
    """Commit, branch or tag of the model on the hub; default: the profile's, else the newest."""
    questions: Literal["one_pass", "separate"] = "one_pass"
    """One request for all facets, or one for each of them as in the paper (1.3)."""
    explicit_only: bool = False
    """Count only AI values that the assistant declares outright (paper, B.6)."""
    salience: bool = False
    """Ask how much each value matters (1-5), so that a threshold is chosen in the analysis."""
    evidence: bool = False
    """Ask for a quote for each value and check it against the speaker's words (`grounded`)."""
    max_output_tokens: int = 768
    """Longest answer (ours: several times a usual one); a cut one gets twice that, once."""
    temperature: float = 0.0
    """Of the sampling (ours: the likeliest answer; the paper's is not known, Clio has 0.2)."""
    engine_kwargs: str = "{}"
    """JSON: further arguments of vLLM's engine, as vLLM names them."""
    sampling_kwargs: str = "{}"
    """JSON: further sampling parameters, as vLLM or the server names them."""
    transcript_tokens: int = 4096
    """Budget for one conversation (ours: most public chats fit whole); head and tail
    are kept."""
    subjective_from: int = paper.SUBJECTIVE_FROM
    """A conversation is subjective from this level on (paper, A.2: levels 3 and 4)."""
    max_error_share: float = 0.05
    """The stage fails when more of its rows than this failed (ours)."""
    simulated_seconds_per_row: float = 0.0
    """The simulated extractor sleeps this long for a conversation."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        at_least("transcript_tokens", self.transcript_tokens, 16)
        between("subjective_from", self.subjective_from, 1, 4)
        between("max_error_share", self.max_error_share, 0.0, 1.0)
        at_least("simulated_seconds_per_row", self.simulated_seconds_per_row, 0)
        at_least("max_output_tokens", self.max_output_tokens, 16)
        between("temperature", self.temperature, 0.0, 2.0)
        for name in ("engine_kwargs", "sampling_kwargs"):
            json_object(name, getattr(self, name))
        if EXTRACTORS[self.extractor].has_model and not self.model:
            raise ConfigError(
                f"--extractor {self.extractor} names no --model",
                "add --model: a profile, a model id or a folder",
            )
        if self.extractor == "vllm" and self.model:
            refuse_unknown_reader(self.model)


@dataclass(frozen=True, kw_only=True)
class LabelsConfig:
    """Stage 3: which labels are the same, and which have enough support."""

    merge_case: bool = True
    """Case, white space and Unicode variants are one label."""
    merge_hyphens: bool = True
    """`service-orientation` is `service orientation` (29 such twins in the released list)."""
    merge_plurals: bool = True
    """`clear boundary` is `clear boundaries`; the commoner form stays."""
    min_conversations: int = paper.MIN_CONVERSATIONS
    """A label needs this many conversations (paper: 0.005 % of 308,210)."""
    min_accounts: int = paper.MIN_ACCOUNTS
    """... and this many accounts, when accounts are known (paper's later reports)."""
    min_salience: int = 1
    """Values of less salience (1-5) are not counted (the 2026 sequel: 3); values without one always
    are."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        between("min_salience", self.min_salience, 1, 5)
        at_least("min_conversations", self.min_conversations, 1)
        at_least("min_accounts", self.min_accounts, 1)


@dataclass(frozen=True, kw_only=True)
class TaxonomyConfig:
    """Stage 4: how labels become a tree. Sizes count clusters from level 1 up."""

    embedder: str = "minilm"
    """A profile (minilm, which needs no hub; mpnet, the paper's; bge-small; qwen3-embedding), a
    model id of the Hugging Face hub, or a folder. hashing: word hashes without a meaning, for
    benchmarks that measure something else."""
    embedder_revision: str | None = None
    """Commit, branch or tag of the embedder on the hub; default: the profile's, else the newest."""
    ai_value_levels: tuple[int, ...] | None = None
    """Default: three levels up to five clusters, each level smaller by one ratio (Clio, 5.1)."""
    human_value_levels: tuple[int, ...] | None = None
    """As `ai_value_levels`."""
    task_levels: tuple[int, ...] | None = None
    """As `ai_value_levels`, but the first level clusters conversations."""
    naming: Literal["members", "model"] = "members"
    """Who names clusters of values. members: their own nearest labels. model: the language model
    of the extraction, from labels alone. Tasks are always named by their members: their texts are
    private."""
    climbing: Literal["vectors", "names"] = "vectors"
    """What puts clusters of values under wider ones. vectors: the centres of the clusters. names:
    their names and descriptions, which the model that gave them puts together (Clio, 5.1); needs
    --naming model. Tasks always climb by vectors."""
    taxonomy_seed: int = 0
    """Seed of the k-means starts, and of the order in which groups are listed for a model."""
    kmeans_iterations: int = 20
    """Lloyd iterations at most (FAISS's own default is 25; later ones move under 0.1 %)."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        at_least("kmeans_iterations", self.kmeans_iterations, 1)
        if self.embedder != HASHING:
            embedder_profile(self.embedder)
        elif self.embedder_revision is not None:
            raise ConfigError("--embedder-revision, but --embedder hashing is no model", "drop it")
        if self.climbing == "names" and self.naming != "model":
            raise ConfigError(
                f"--climbing names needs a language model, and --naming is {self.naming}",
                "add --naming model, or choose --climbing vectors",
            )
        for name in ("ai_value_levels", "human_value_levels", "task_levels"):
            sizes = getattr(self, name)
            if sizes is not None and (
                not sizes or sizes[-1] < 1 or any(a <= b for a, b in pairwise(sizes))
            ):
                raise ConfigError(
                    f"--{name.replace('_', '-')} is {sizes}", "give falling sizes, such as 266 26 5"
                )


Period = Literal["day", "week", "month"]


@dataclass(frozen=True, kw_only=True)
class StatisticsConfig:
    """Stage 5: what counts as significant, and what is compared over time."""

    alpha: float = paper.ALPHA
    """Two-sided level before Bonferroni (paper, 2: |residual| > 4.33 for 3,307 comparisons)."""
    period: Period = "week"
    """Over time, each period is compared with the one before (ours: the paper read one week)."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        between("alpha", self.alpha, 1e-300, 1.0)


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Stage 6: how much the page shows."""

    top: int = 30
    """Rows of each ranked list."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        at_least("top", self.top, 1)


@dataclass(frozen=True, kw_only=True)
class ReleaseConfig:
    """Stage 7: what the release says of itself."""

    release_name: str = "values-in-the-wild"
    """Title of the card."""
    release_license: str = "CC-BY-4.0"
    """Licence of the released tables (as the published ones)."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run, whole."""

    conversations: ConversationsConfig = field(default_factory=ConversationsConfig)
    extraction: ExtractionConfig = field(default_factory=ExtractionConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    taxonomy: TaxonomyConfig = field(default_factory=TaxonomyConfig)
    statistics: StatisticsConfig = field(default_factory=StatisticsConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    release: ReleaseConfig = field(default_factory=ReleaseConfig)
    execution: Execution = field(default_factory=Execution)

    def __post_init__(self) -> None:
        """Refuse settings of two stages that do not go together."""
        extraction, execution = self.extraction, self.execution
        if extraction.extractor == "vllm" and extraction.model and execution.device == "gpu":
            further = json_object("engine_kwargs", extraction.engine_kwargs)
            profile = profile_of(extraction.model)
            needed = further.get("tensor_parallel_size", profile.tensor_parallel)
            if needed > execution.gpus_per_actor:
                raise ConfigError(
                    f"--model {extraction.model} is spread over {needed} GPUs, and"
                    f" --gpus-per-actor is {execution.gpus_per_actor:g}",
                    f"set --gpus-per-actor {needed}",
                )
        reader = self.extraction.extractor
        if self.taxonomy.naming == "model" and not EXTRACTORS[reader].has_model:
            raise ConfigError(
                f"--naming model, but --extractor {reader} has no language model",
                "add --extractor vllm (or openai) and a --model, or choose --naming members",
            )
        if self.taxonomy.climbing == "names" and extraction.transcript_tokens < LISTED_TOKENS:
            raise ConfigError(
                f"--climbing names lists up to a hundred groups in one question, and"
                f" --transcript-tokens {extraction.transcript_tokens} has no room for them",
                f"set --transcript-tokens {LISTED_TOKENS} or more, or choose --climbing vectors",
            )
