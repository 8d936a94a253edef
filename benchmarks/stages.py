"""Write `docs/benchmarks.md` from the committed results and the text around them, `stages.md`.

python benchmarks/stages.py            # writes the page
python benchmarks/stages.py --check    # says whether it is up to date
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"

GPUS = 8
GOAL_ROWS_PER_S = 32.0  # of a reader of 8 billion weights in fp8 on one H200
ITERATIONS = 20  # of k-means
CORES = 2  # of the machine on which the stages were measured
PROMPT_TOKENS, CACHED_TOKENS, ANSWER_TOKENS = 2_146, 967, 165  # of the conversations of `card`
WORKERS = (1, 2, 4)
WEIGHTS_OVER = 70.6 / 8.2  # parameters of a model of the 70B class / of the 8B class, in billions


@dataclass(frozen=True)
class Prices:
    """Assumed prices in dollars: inputs, not measurements.

    Attributes:
        as_of: the day on which they were assumed.
        gpu_hour: an H200, rented for an hour.
        core_hour: a core, rented for an hour.
        api_prompt: a million prompt tokens of a model behind an API.
        api_cached: a million prompt tokens that it has in its cache.
        api_answer: a million tokens that it writes.
    """

    as_of: str = "2026-11-28"
    gpu_hour: float = 3.3
    core_hour: float = 0.05
    api_prompt: float = 0.15
    api_cached: float = 0.075
    api_answer: float = 0.60


def results(name: str) -> dict[str, Any]:
    """A committed result: the full one, else the quick one."""
    for file in (f"{name}.json", f"{name}-quick.json"):
        path = HERE / "results" / file
        if path.exists():
            return json.loads(path.read_text())
    raise SystemExit(f"benchmarks/results/{name}.json is missing: run benchmarks/run.py {name}")


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def seconds_per_million(rate: float) -> str:
    return f"{1e6 / rate:,.0f}"


def around_the_reader() -> float:
    """CPU s per million rows of stage 2 without its reader: units answered, and put together."""
    work = results("growth")["work"]
    rows = max(int(name.rpartition("_")[2]) for name in work if "_at_" not in name)
    return 1e6 * (work[f"answer_{rows}"]["cpu_s"] + work[f"assemble_{rows}"]["cpu_s"]) / rows


def at_most(stage: str) -> float:
    """CPU s per million rows of a stage, if it filled all cores as long as it ran."""
    return CORES * 1e6 / results("full_run")["rates"][f"{stage}_rows_per_s"]


def of_many_rows(stage: str) -> tuple[int, float, float, float]:
    """Rows, rows/s, CPU s per million and peak in GiB of a stage over the most rows measured."""
    measured = results("rows")["work"][stage]
    rows = max(measured, key=int)
    one = measured[rows]
    rate, cpu_s = int(rows) / one["seconds"], 1e6 * one["cpu_s"] / int(rows)
    return int(rows), rate, cpu_s, one["peak_bytes"] / 2**30


def client_of_a_server() -> float:
    """CPU s per million calls of our client of a server, all processes of the run together."""
    rounds = results("race")["work"]["contestants"]["ours"]["rounds"]
    return 1e3 * median(one["cpu_ms_per_call"] for one in rounds)


def stages() -> str:
    """What each stage takes, and the bytes that move."""
    head = ("stage", "rows/s, two cores", "CPU s per million rows", "result")
    return f"{table(head, stage_rows())}\n\n{bytes_moved()}"


def stage_rows() -> list[tuple[str, ...]]:
    rates, lexicon = results("full_run")["rates"], results("lexicon")["rates"]
    read = results("read")["rates"]
    return [
        (
            "conversations",
            f"{rates['conversations_rows_per_s']:,.0f}",
            seconds_per_million(read["planted_jsonl_rows_per_cpu_s"]) + " (first pass of reading)",
            "`full_run`, `read`",
        ),
        (
            "extraction, free reader",
            f"{rates['extractions_rows_per_s']:,.0f}",
            f"{around_the_reader():,.0f}",
            "`full_run`, `growth`",
        ),
        (
            "extraction, lexicon",
            f"{1e3 / lexicon['cpu_ms_per_row']:,.0f} a core",
            f"{lexicon['cpu_ms_per_row'] * 1e3:,.0f}",
            "`lexicon`",
        ),
        whole_stage("labels"),
        *taxonomy_rows(),
        whole_stage("statistics"),
    ]


def whole_stage(stage: str) -> tuple[str, ...]:
    rows, rate, cpu_s, gib = of_many_rows(stage)
    of = f"{rows / 1e6:,.0f} million rows, {gib:.1f} GiB"
    return (f"{stage}: {of}", f"{rate:,.0f}", f"{cpu_s:.1f}", "`rows`")


def taxonomy_rows() -> list[tuple[str, ...]]:
    host, kmeans = results("embed_host")["rates"], results("kmeans_million_topical")
    return [
        (
            "taxonomy: embedding, host",
            "",
            f"{host['host_cpu_s_per_million_tokens']:.2f} a million tokens",
            "`embed_host`",
        ),
        (
            "taxonomy: embedding, model on a core",
            f"{results('embed')['rates']['texts_per_cpu_s']:,.0f} texts a core",
            f"{host['model_cpu_s_per_million_tokens']:,.0f} a million tokens",
            "`embed`, `embed_host`",
        ),
        (
            "taxonomy: k-means, 3,000 clusters",
            f"{kmeans['work']['rows'] / kmeans['rates']['ours_wall_s']:,.0f}",
            f"{kmeans['rates']['ours_cpu_s']:.1f}",
            "`kmeans_million_topical`",
        ),
    ]


def bytes_moved() -> str:
    full = results("full_run")
    carried = results("extract_routes")["ratios"]["object_store_bytes_over_text"]
    answered = results("kmeans")["ratios"]["bytes_back_over_sums"]
    peak, most = full["ratios"]["peak_memory_bytes"] / 1e9, full["work"]["rows"][-1]
    return (
        f"While conversations are read, Ray's object store holds {carried:.3f} bytes for each byte"
        f" of text (`extract_routes`). A vector is 1,536 bytes. Shards of k-means answer with"
        f" {answered:.3f} times the bytes of the sums (`kmeans`). All processes of a run of"
        f" {most:,} conversations had {peak:.1f} GB at most (`full_run`)."
    )


def bottleneck(card: dict[str, float]) -> str:
    rates = results("full_run")["rates"]
    parts = {
        f"reader, {GPUS} H200, bf16, measured on one": 1e6 / (GPUS * card["extract_rows_per_s"]),
        f"reader, {GPUS} H200, fp8, the goal": 1e6 / (GPUS * GOAL_ROWS_PER_S),
        "extraction around the reader, two cores": 1e6 / rates["extractions_rows_per_s"],
        "conversations, two cores": 1e6 / rates["conversations_rows_per_s"],
        "embedding of a text each, one H200": 1e6 / card["embed_texts_per_s"],
        "labels, two cores": 1e6 / of_many_rows("labels")[1],
        "statistics, two cores": 1e6 / of_many_rows("statistics")[1],
        f"k-means, {ITERATIONS} iterations, one H200": ITERATIONS * card["kmeans_iteration_s"] / 8,
    }
    rows = [(name, f"{seconds:,.0f}") for name, seconds in parts.items()]
    goal, around = rows[1][0], rows[2][0]
    spare = parts[goal] / parts[around]
    return (
        table(("part", "seconds per million conversations"), rows)
        + "\n\nThe reader takes longest by far. Next is the extraction around it: at the goal, two"
        f" cores could feed {spare:.0f} times as many GPUs as these {GPUS}.\n\n" + host_cores()
    )


def host_cores() -> str:
    """Cores that the host needs, so that no stage is slower than the reader at its goal."""
    rate = GPUS * GOAL_ROWS_PER_S
    needs = {
        "stage 2 with a client of a server (`race`)": client_of_a_server(),
        "stage 2 around a reader of its own (`growth`)": around_the_reader(),
        "conversations, at most (`full_run`)": at_most("conversations"),
        "labels (`rows`)": of_many_rows("labels")[2],
        "statistics (`rows`)": of_many_rows("statistics")[2],
    }
    rows = [(name, f"{cpu:,.0f}", f"{cpu * rate / 1e6:.2f}") for name, cpu in needs.items()]
    head = ("on the host", "CPU s per million", f"cores for {rate:,.0f} conversations/s")
    return (
        f"{table(head, rows)}\n\nA host of {GPUS} H200 has some 100 cores; none of these needs one."
    )


SHOWN = {"ray_data_llm": "`ray.data.llm`", "curator": "Bespoke Curator"}


def _between(values: Sequence[float], digits: int) -> str:
    """The rounds' lowest and highest value; empty without rounds."""
    ends = [f"{end:,.{digits}f}" for end in sorted(values)]
    return " to ".join(dict.fromkeys((ends[0], ends[-1]))) if ends else ""


def race() -> str:
    """Other clients of a server beside ours."""
    found = results("race")
    rows = []
    for name, note in found["work"]["contestants"].items():
        rounds, weather, killed = note["rounds"], note["bad_weather"], note.get("killed")
        cells = [
            _between([one[key] * scale for one in rounds], digits)
            for key, scale, digits in (
                ("cpu_ms_per_call", 1, 1),
                ("rows_per_s", 1, 0),
                ("start_cpu_s", 1, 1),
                ("peak_bytes", 1e-6, 0),
            )
        ]
        kept = f"{weather['kept']:.4f}" + (", run failed" if weather["code"] else "")
        after = f"{killed['calls_over_rows']:.3f}" if killed else ""
        calls = f"{weather['calls_per_row']:.3f}"
        seconds = f"{weather['wall_s']:,.0f}"
        rows.append((SHOWN.get(name, name), *cells, kept, calls, seconds, after))
    head = ("client", "CPU ms a call", "calls/s", "start, CPU s", "peak, MB")
    return table((*head, "kept", "calls a row", "s, 5 % broken", "calls a row, killed"), rows)


def money(card: dict[str, float], prices: Prices) -> str:
    lexicon = 1e3 / results("lexicon")["rates"]["cpu_ms_per_row"]
    bf16 = card["extract_rows_per_s"]
    large = bf16 * card["fp8_tflops"] / card["bf16_tflops"] / WEIGHTS_OVER
    gpu = prices.gpu_hour
    readers = [
        ("lexicon, a core", lexicon, prices.core_hour, "measured"),
        ("8 billion weights, bf16, an H200", bf16, gpu, "measured"),
        ("8 billion weights, fp8, an H200", GOAL_ROWS_PER_S, gpu, "goal, not measured"),
        ("70 billion weights, fp8, an H200", large, gpu, "computed, not measured"),
    ]
    rows = [
        (name, f"{rate:,.1f}", f"{price:.2f}", f"{1e6 / rate / 3600 * price:,.2f}", basis)
        for name, rate, price, basis in readers
    ]
    per_token = (
        (PROMPT_TOKENS - CACHED_TOKENS) * prices.api_prompt
        + CACHED_TOKENS * prices.api_cached
        + ANSWER_TOKENS * prices.api_answer
    )
    rows.append(("a model behind an API", "", "", f"{per_token:,.2f}", "price of its tokens"))
    head = ("reader", "conversations/s", "$ an hour", "$ per million conversations", "rate is")
    return table(head, rows)


def scaling() -> str:
    """Rows/s of each reader's stages by the number of workers."""
    rates, ratios = results("scaling")["rates"], results("scaling")["ratios"]
    rows = []
    for reader in ("waiting", "computing", "free"):
        for stage in ("conversations", "extractions", "labels", "statistics"):
            found = [rates.get(f"{reader}_{stage}_{workers}_rows_per_s") for workers in WORKERS]
            if None not in found:
                rows.append((f"{reader}: {stage}", *(f"{rate:,.0f}" for rate in found)))
    near = ", ".join(f"{ratios[f'waiting_efficiency_{workers}']:.2f}" for workers in WORKERS)
    head = ("rows/s", *(f"workers: {workers}" for workers in WORKERS))
    return (
        f"{table(head, rows)}\n\nReaders that wait come to {near} of the ideal rate with 1, 2 and 4"
        " workers, the start of the actors included. One more unit of work costs the driver"
        f" {rates['driver_cpu_ms_per_unit']:.1f} ms of CPU (`scaling`)."
    )


def growth() -> str:
    """What the stages open at two sizes, and what a row costs at the largest size counted."""
    around, runs, whole = (results(name) for name in ("growth", "sort_growth", "stage_growth"))
    sizes = "10000000", "100000000"
    rows = [
        (
            "conversations, by hash",
            *(f"{runs['work'][f'opens_of_{size}']:,}" for size in sizes),
            *_ratios(runs, "conversations_{}_growth"),
            "`sort_growth`",
        )
    ]
    for stage, name in (("extractions, answering", "answer"), ("the table of these", "assemble")):
        opens = (f"{around['work'][f'{name}_at_{size}']['open']:,}" for size in sizes)
        rows.append((stage, *opens, *_ratios(around, f"flat_{name}_{{}}"), "`growth`"))
    for stage in ("labels", "taxonomy", "statistics"):
        opens = (f"{whole['work'][f'{stage}_at_{size}']['opens']:,}" for size in sizes)
        rows.append((stage, *opens, *_ratios(whole, f"flat_{stage}_{{}}"), "`stage_growth`"))
    for stage in ("openings", "pairs", "prompts"):
        ratios = _ratios(runs, f"{stage}_{{}}_growth")
        if any(ratios):
            rows.append((f"{stage}, by hash, alone", "", "", *ratios, "`sort_growth`"))
    head = ("what", "opens, 10 million rows", "100 million")
    head += ("opens a row", "bytes a row", "CPU a row")
    return table((*head, "result"), rows)


def _ratios(result: dict[str, Any], name: str) -> tuple[str, ...]:
    """Opens, bytes and CPU of a row at the largest size, over those at the smallest, if counted."""
    found = (result["ratios"].get(name.format(what)) for what in ("opens", "bytes", "cpu"))
    return tuple("" if ratio is None else f"{ratio:.2f}" for ratio in found)


def page(prices: Prices) -> str:
    """The text of `docs/benchmarks.md`."""
    card, embedding = results("card")["rates"], results("embed_host")
    host, compared = embedding["rates"], results("race")
    return (
        (HERE / "stages.md")
        .read_text()
        .format(
            **card,
            stages=stages(),
            scaling=scaling(),
            growth=growth(),
            bottleneck=bottleneck(card),
            race=race(),
            race_spread=f"{compared['aa_spread']:.0%}",
            datatrove_cpu=compared["ratios"]["datatrove_cpu_over_ours"],
            ray_cpu=compared["ratios"]["ray_data_llm_cpu_over_ours"],
            curator_cpu=compared["ratios"]["curator_cpu_over_ours"],
            money=money(card, prices),
            weights_over=f"{WEIGHTS_OVER:.1f}",
            gpus=GPUS,
            **asdict(prices),
            host=f"{host['host_cpu_s_per_million_tokens']:.2f}",
            library=f"{host['library_cpu_s_per_million_tokens']:.2f}",
            saving=f"{embedding['ratios']['host_saving']:.0f}",
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if out of date")
    for price in fields(Prices):
        flag, default = f"--{price.name.replace('_', '-')}", price.default
        parser.add_argument(flag, type=type(default), default=default, metavar="PRICE")
    given = vars(parser.parse_args())
    check, text = given.pop("check"), page(Prices(**given))
    if not check:
        PAGE.write_text(text)
        return 0
    current = PAGE.exists() and PAGE.read_text() == text
    print("up to date" if current else f"{PAGE.name} is out of date: run benchmarks/stages.py")
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main())
