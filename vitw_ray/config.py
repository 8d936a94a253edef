"""Every setting of a run: one frozen dataclass per stage, and `RunConfig`, which holds them all.

The classes are also the command line: `vitw run --help-all` lists the fields, with the string
below each field as its help text. Field names are therefore unique across all classes.

Settings in the stage classes determine the content of tables, and are part of the stages' keys.
Settings in `Execution` determine where and how fast a run works; of those only `device` can be part
of a key.
"""

from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Literal

from vitw_ray import paper
from vitw_ray.column_map import MAPPED, column_map
from vitw_ray.errors import ConfigError
from vitw_ray.execution import Execution
from vitw_ray.extractor_kinds import EXTRACTORS, ExtractorName
from vitw_ray.facets import FACETS
from vitw_ray.profiles import HASHING, embedder_profile, profile_of, refuse_unknown_reader
from vitw_ray.setting_checks import at_least, between, json_object

SAMPLE = Path(__file__).parent / "evaluation" / "sample" / "conversations.jsonl.gz"
"""Invented conversations with known truth, included in the package."""

LISTED_TOKENS = 1024  # ours: a numbered list of a hundred names of two to five words

SourceFormat = Literal[
    "auto",
    "vitw",
    "openai",
    "wildchat",
    "lmsys",
    "sharegpt",
    "oasst",
    "hh-rlhf",
    "claude-export",
    "chatgpt-export",
    "deepseek-export",
    "open-webui",
    "librechat",
    "chat-ui",
    "grok-export",
    "ai-studio",
    "gemini-takeout",
    "claude-code",
    "oasst-messages",
    "moss",
    "pairs",
    "batch",
    "helicone",
    "litellm",
    "request-response",
    "gemini",
    "cohere",
    "langsmith",
    "langfuse",
    "responses",
    "otel",
    "vllm-log",
    "inspect",
    "assistants",
    "message-rows",
    "several-answers",
    "preference",
    "alpaca",
    "prompt-response",
    "dialogue",
]


@dataclass(frozen=True, kw_only=True)
class ConversationsConfig:
    """Stage 1: the input, and which of its conversations are read."""

    input: tuple[str, ...] = (str(SAMPLE),)
    """Files, folders or globs, local or s3://. Default: the sample included in the package."""
    source_format: SourceFormat = "auto"
    """Shape of the rows; auto detects it from the columns."""
    map: str | None = None
    """Where the fields are in rows of an unknown shape, as paths with dots:
    messages=payload.turns,role=who,content=text,conversation_id=chat.id,model=meta.model."""
    source_name: str | None = None
    """Name of the data set, for rows that do not name one; default: the name of the shape."""
    sample: int | None = None
    """Keep this many conversations, sampled uniformly by a hash of the id. The sample does not
    depend on the order of files or rows."""
    sample_seed: int = 0
    """Seed of the sample."""
    balance_assistants: bool = False
    """Sample the same number of conversations of each assistant, as far as there are enough."""
    max_per_account: int | None = None
    """Keep at most this many conversations per account."""
    created_from: date | None = None
    """First day (UTC) to keep. With a date range, rows without a date are rejected."""
    created_until: date | None = None
    """Last day (UTC) to keep."""
    max_conversation_chars: int = 1_000_000
    """Longer conversations are rejected (ours: a bound on memory)."""
    growing_histories: Literal["longest", "all"] = "longest"
    """Of rows that each hold a conversation so far (one row per request), longest keeps the last
    one: a row whose messages are the beginning of another's, of the same account and assistant, is
    rejected as superseded. all keeps every row."""
    identical_rows: Literal["keep", "drop"] = "keep"
    """Rows without an id that are equal in every column that is read: keep makes each of them a
    conversation (a column that is not read may tell them apart), drop leaves one."""
    rows_per_part: int = 4096
    """Most rows per file of a table, about, and twice the least: the number of files is a power of
    two (ours: about 25 MB of chat text per file)."""
    keep_parts: bool = False
    """Where input files were added since an earlier run in this --output, read only these: what
    was written of the others keeps its bytes, and what is new becomes further files of the
    tables. The first run with it notes what it read, for the next."""

    def __post_init__(self) -> None:
        """Reject invalid values, naming the field."""
        at_least("sample", self.sample, 1)
        at_least("max_per_account", self.max_per_account, 1)
        at_least("max_conversation_chars", self.max_conversation_chars, 1)
        at_least("rows_per_part", self.rows_per_part, 1)
        if not self.input:
            raise ConfigError("--input is empty", "give at least one path or glob")
        if self.map is not None:
            column_map(self.map)
            if self.source_format != "auto":
                raise ConfigError(
                    f"--map and --source-format {self.source_format} both name the shape",
                    "drop one of the two",
                )
        if self.balance_assistants and self.sample is None:
            raise ConfigError(
                "--balance-assistants needs --sample, which is not set",
                "add --sample N, or drop --balance-assistants",
            )
        if self.created_from and self.created_until and self.created_from > self.created_until:
            raise ConfigError("--created-from is after --created-until", "swap the two dates")
        for name in ("sample", "max_per_account"):
            if self.keep_parts and getattr(self, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(
                    f"--keep-parts cannot be used with {option}, which is drawn from all rows anew",
                    f"drop one of --keep-parts and {option}",
                )

    @property
    def shape(self) -> str:
        """Name of the shape of all files: that of `--source-format`, or what `--map` describes."""
        return self.source_format if self.map is None else f"{MAPPED}{self.map}"


@dataclass(frozen=True, kw_only=True)
class ExtractionConfig:
    """Stage 2: the reader, its questions, and how much it sees of each conversation."""

    extractor: ExtractorName = "lexicon"
    """vllm: an open-weight model, in an engine inside each actor. openai: a model behind any server
    with OpenAI's chat API. lexicon: a baseline without a language model. simulated: made-up
    answers, for benchmarks and dry runs."""
    model: str | None = None
    """vllm: a profile (qwen3-8b, ...), a model id of the Hugging Face hub, or a folder. openai: the
    server's name for the model."""
    revision: str | None = None
    """Commit, branch or tag of the model on the hub; default: the profile's, else the latest."""
    questions: Literal["short", "one_pass", "separate"] = "short"
    """short: closed questions, of which the probabilities are calibrated, and a short question per
    facet. one_pass: one request for all facets. separate: one long question per facet, as in the
    paper (1.3). docs/readers.md compares them."""
    answer_form: Literal["json", "lines"] = "json"
    """How open questions are answered. lines: one line per facet, in fewer tokens (docs/readers.md
    compares them)."""
    explicit_only: bool = False
    """Extract only AI values that the assistant states outright (paper, B.6)."""
    salience: bool = False
    """Ask for the salience of each value (1-5), to be thresholded later by --min-salience."""
    evidence: bool = False
    """Ask for a quote for each value, and check that the speaker wrote it (`grounded`)."""
    strict: bool = False
    """Take only values that are shown beyond doubt: asked for in the prompt, or, of the lexicon, a
    higher cut. Of the readings that `vitw certify` compares."""
    paraphrase: int = 0
    """The prompts in other words (1-3), to see what hangs on the wording; 0: as measured."""
    max_output_tokens: int = 768
    """Token limit of an answer (ours: several times the usual length). An answer that exceeds it is
    requested once more with twice the limit."""
    temperature: float = 0.0
    """Sampling temperature (ours: greedy; the paper does not state its own, Clio uses 0.2)."""
    engine_kwargs: str = "{}"
    """JSON: further arguments of vLLM's engine, under vLLM's names."""
    sampling_kwargs: str = "{}"
    """JSON: further sampling parameters, under vLLM's or the server's names."""
    transcript_tokens: int = 4096
    """Token budget per conversation (ours: most public chats fit). Of longer ones the beginning and
    the end are kept."""
    subjective_from: int = paper.SUBJECTIVE_FROM
    """Lowest level of subjectivity (1-4) that counts as subjective (paper, A.2: 3)."""
    max_error_share: float = 0.05
    """The stage fails if the share of failed rows is larger (ours)."""
    screen: bool = False
    """Let small heads, trained on the reader's first answers, read first: conversations that are
    objective with certainty skip the model. How many subjective ones that loses is certified."""
    screen_loss: float = 0.02
    """Most of the reader's subjective conversations that the screen may lose, as a share (ours)."""
    screen_sample: int = 6000
    """Conversations that the model reads first, to train and to certify the screen (ours); at most
    a third of all."""
    screen_heads: str | None = None
    """Folder that `vitw distill` wrote: its heads are used, and all of the sample certifies them.
    Default: heads trained on a quarter of the sample and certified on the rest."""
    screen_embedder: str = "minilm"
    """Embedder of the screen, always on the CPU: a profile, a model id or a folder, as
    `embedder`."""
    simulated_seconds_per_row: float = 0.0
    """Time that the simulated extractor sleeps per conversation."""

    def __post_init__(self) -> None:
        """Reject invalid values, naming the field."""
        at_least("transcript_tokens", self.transcript_tokens, 16)
        between("subjective_from", self.subjective_from, 1, 4)
        between("paraphrase", self.paraphrase, 0, 3)
        between("max_error_share", self.max_error_share, 0.0, 1.0)
        at_least("simulated_seconds_per_row", self.simulated_seconds_per_row, 0)
        at_least("max_output_tokens", self.max_output_tokens, 16)
        between("temperature", self.temperature, 0.0, 2.0)
        self._check_screen()
        for name in ("engine_kwargs", "sampling_kwargs"):
            json_object(name, getattr(self, name))
        if EXTRACTORS[self.extractor].has_model and not self.model:
            raise ConfigError(
                f"--extractor {self.extractor} names no --model",
                "add --model: a profile, a model id or a folder",
            )
        if self.extractor == "vllm" and self.model:
            refuse_unknown_reader(self.model)

    def _check_screen(self) -> None:
        between("screen_loss", self.screen_loss, 0.0001, 0.5)
        at_least("screen_sample", self.screen_sample, 2)
        if self.screen_embedder != HASHING:
            embedder_profile(self.screen_embedder)
        if self.screen and self.subjective_from == 1:
            raise ConfigError(
                "--screen skips objective conversations, and with --subjective-from 1 there are"
                " none",
                "drop --screen, or raise --subjective-from",
            )
        if self.screen_heads is not None and not self.screen:
            raise ConfigError(
                "--screen-heads is set, and there is no --screen that uses it", "add --screen"
            )


@dataclass(frozen=True, kw_only=True)
class LabelsConfig:
    """Stage 3: which labels are merged, and how much support a label needs."""

    merge_case: bool = True
    """Merge variants in case, white space and Unicode form."""
    merge_hyphens: bool = True
    """Merge `service-orientation` with `service orientation` (the released list has 29 pairs)."""
    merge_plurals: bool = True
    """Merge `clear boundary` with `clear boundaries`; the more frequent form stays."""
    min_conversations: int = paper.MIN_CONVERSATIONS
    """Conversations that a label needs to be kept (paper: 0.005 % of 308,210)."""
    min_accounts: int = paper.MIN_ACCOUNTS
    """Accounts that a label needs, where accounts are known (the authors' later reports)."""
    min_salience: int = 1
    """Values of lower salience (1-5) are not counted (the 2026 sequel uses 3). Values without a
    salience always are."""

    def __post_init__(self) -> None:
        """Reject invalid values, naming the field."""
        between("min_salience", self.min_salience, 1, 5)
        at_least("min_conversations", self.min_conversations, 1)
        at_least("min_accounts", self.min_accounts, 1)


@dataclass(frozen=True, kw_only=True)
class TaxonomyConfig:
    """Stage 4: how labels and tasks become trees. Level sizes start at level 1."""

    embedder: str = "minilm"
    """A profile (minilm, which needs no hub; mpnet, the paper's; bge-small; qwen3-embedding), a
    model id of the Hugging Face hub, or a folder. hashing: word hashes without meaning, for
    benchmarks that measure something else."""
    embedder_revision: str | None = None
    """Commit, branch or tag of the embedder on the hub; default: the profile's, else the latest."""
    ai_value_levels: tuple[int, ...] | None = None
    """Clusters per level, such as 266 26 5. Default: three levels, the top one of five clusters,
    each level smaller than the one below by the same ratio (Clio, 5.1)."""
    human_value_levels: tuple[int, ...] | None = None
    """As `ai_value_levels`."""
    task_levels: tuple[int, ...] | None = None
    """As `ai_value_levels`; the first level groups the tasks of conversations."""
    naming: Literal["members", "model"] = "members"
    """What names clusters of values. members: the labels nearest to the centre. model: the language
    model of the extraction, which sees labels only. Clusters of tasks are always named by their
    members, since task texts are private."""
    climbing: Literal["vectors", "names"] = "vectors"
    """How clusters of values are grouped into the next level. vectors: by their embeddings. names:
    by the language model, from their names and descriptions (Clio, 5.1); needs --naming model.
    Clusters of tasks are always grouped by vectors."""
    taxonomy_seed: int = 0
    """Seed of k-means, and of the order in which groups are listed for a model."""
    kmeans_iterations: int = 20
    """Most Lloyd iterations (FAISS's default is 25; later ones change under 0.1 %)."""
    taxonomy_from: str | None = None
    """Folder of a finished run, local or s3://: its trees are frozen. Labels and tasks go to its
    clusters, with their ids and names; what is too far from all of them is counted as unplaced."""
    grow_unplaced: bool = False
    """Give what is in no cluster of --taxonomy-from clusters of its own; the known ones stay."""

    def __post_init__(self) -> None:
        """Reject invalid values, naming the field."""
        at_least("kmeans_iterations", self.kmeans_iterations, 1)
        if self.embedder != HASHING:
            embedder_profile(self.embedder)
        elif self.embedder_revision is not None:
            raise ConfigError(
                "--embedder-revision is set, and --embedder hashing has no revisions",
                "drop --embedder-revision",
            )
        if self.climbing == "names" and self.naming != "model":
            raise ConfigError(
                f"--climbing names needs a language model, and --naming is {self.naming}",
                "add --naming model, or choose --climbing vectors",
            )
        if self.grow_unplaced and self.taxonomy_from is None:
            raise ConfigError(
                "--grow-unplaced is set, and no frozen tree leaves anything unplaced",
                "add --taxonomy-from, or drop --grow-unplaced",
            )
        if self.climbing == "names" and self.taxonomy_from is not None:
            raise ConfigError(
                "--climbing names builds levels, and --taxonomy-from has them already",
                "drop one of the two",
            )
        for name in (facet.levels for facet in FACETS if facet.levels):
            sizes = getattr(self, name)
            if sizes is not None and (
                not sizes or sizes[-1] < 1 or any(a <= b for a, b in pairwise(sizes))
            ):
                raise ConfigError(
                    f"--{name.replace('_', '-')} is {sizes}",
                    "give decreasing sizes, such as 266 26 5",
                )


Period = Literal["day", "week", "month"]


@dataclass(frozen=True, kw_only=True)
class StatisticsConfig:
    """Stage 5: the significance level, the periods that are compared, and a reviewed sample."""

    alpha: float = paper.ALPHA
    """Two-sided significance level before Bonferroni (paper, 2: |residual| > 4.33 for 3,307
    comparisons)."""
    period: Period = "week"
    """Each period is compared with the one before (ours: the paper covers a single week)."""
    reviewed: str | None = None
    """JSON lines with what people said of a sample of the conversations, as `vitw review score`
    writes them, local or s3://: numbers are corrected for the reader's errors (`corrected`)."""

    def __post_init__(self) -> None:
        """Reject invalid values, naming the field."""
        between("alpha", self.alpha, 1e-300, 1.0)


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Stage 6: how much the report shows."""

    top: int = 30
    """Rows of each ranked list."""

    def __post_init__(self) -> None:
        """Reject invalid values, naming the field."""
        at_least("top", self.top, 1)


@dataclass(frozen=True, kw_only=True)
class ReleaseConfig:
    """Stage 7: the data set card of the release."""

    release_name: str = "values-in-the-wild"
    """Title of the data set card."""
    release_license: str = "CC-BY-4.0"
    """Licence of the released tables (the published tables have the same)."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All settings of one run."""

    conversations: ConversationsConfig = field(default_factory=ConversationsConfig)
    extraction: ExtractionConfig = field(default_factory=ExtractionConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    taxonomy: TaxonomyConfig = field(default_factory=TaxonomyConfig)
    statistics: StatisticsConfig = field(default_factory=StatisticsConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    release: ReleaseConfig = field(default_factory=ReleaseConfig)
    execution: Execution = field(default_factory=Execution)

    def __post_init__(self) -> None:
        """Reject settings of different stages that contradict each other."""
        extraction, execution = self.extraction, self.execution
        if extraction.extractor == "vllm" and extraction.model and execution.device == "gpu":
            further = json_object("engine_kwargs", extraction.engine_kwargs)
            profile = profile_of(extraction.model)
            needed = further.get("tensor_parallel_size", profile.tensor_parallel)
            if needed > execution.gpus_per_actor:
                raise ConfigError(
                    f"--model {extraction.model} needs {needed} GPUs, and"
                    f" --gpus-per-actor is {execution.gpus_per_actor:g}",
                    f"set --gpus-per-actor {needed}",
                )
        reader = self.extraction.extractor
        if self.taxonomy.naming == "model" and not EXTRACTORS[reader].has_model:
            raise ConfigError(
                f"--naming model needs a language model, and --extractor {reader} has none",
                "add --extractor vllm (or openai) and a --model, or choose --naming members",
            )
        if execution.labelled and not EXTRACTORS[reader].has_model:
            raise ConfigError(
                f"--labelled is read by a language model, and --extractor {reader} has none",
                "add --extractor vllm (or openai) and a --model, or drop --labelled",
            )
        if self.taxonomy.climbing == "names" and extraction.transcript_tokens < LISTED_TOKENS:
            raise ConfigError(
                f"--climbing names lists up to a hundred groups in one question, and"
                f" --transcript-tokens {extraction.transcript_tokens} has no room for them",
                f"set --transcript-tokens {LISTED_TOKENS} or more, or choose --climbing vectors",
            )
