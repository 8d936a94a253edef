"""Write `docs/benchmarks.md` from the committed results and the text around them, `stages.md`.

python benchmarks/stages.py            # writes the page
python benchmarks/stages.py --check    # says whether it is up to date
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"

# Inputs, not measurements. Prices are list prices of rented machines in dollars an hour.
PRICES_AS_OF = "2026-11-28"
GPU_HOUR, CORE_HOUR = 3.3, 0.05
GPUS = 8
GOAL_ROWS_PER_S = 32.0  # of a reader of 8 billion weights in fp8 on one H200
ITERATIONS = 20  # of k-means


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


def stages() -> str:
    full, read, host = results("full_run"), results("read")["rates"], results("embed_host")["rates"]
    routes, statistics = results("extract_routes")["ratios"], results("statistics")["rates"]
    lexicon, kmeans = results("lexicon")["rates"], results("kmeans_million_topical")
    rates = full["rates"]
    rows = [
        (
            "conversations",
            f"{rates['conversations_rows_per_s']:,.0f}",
            seconds_per_million(read["planted_jsonl_rows_per_cpu_s"]) + " (first pass of reading)",
            "`full_run`, `read`",
        ),
        (
            "extraction, free reader",
            f"{rates['extractions_rows_per_s']:,.0f}",
            "not measured",
            "`full_run`",
        ),
        (
            "extraction, lexicon",
            f"{1e3 / lexicon['cpu_ms_per_row']:,.0f} a core",
            f"{lexicon['cpu_ms_per_row'] * 1e3:,.0f}",
            "`lexicon`",
        ),
        ("labels", f"{rates['labels_rows_per_s']:,.0f}", "not measured", "`full_run`"),
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
        (
            "statistics",
            f"{rates['statistics_rows_per_s']:,.0f}",
            seconds_per_million(statistics["rows_per_cpu_s"]) + " (counting)",
            "`full_run`, `statistics`",
        ),
    ]
    carried = routes["object_store_bytes_over_text"]
    answered = results("kmeans")["ratios"]["bytes_back_over_sums"]
    peak, most = full["ratios"]["peak_memory_bytes"] / 1e9, full["work"]["rows"][-1]
    bytes_line = (
        f"While conversations are read, Ray's object store holds {carried:.3f} bytes for each byte"
        f" of text (`extract_routes`). A vector is 1,536 bytes. Shards of k-means answer with"
        f" {answered:.3f} times the bytes of the sums (`kmeans`). All processes of a run of"
        f" {most:,} conversations had {peak:.1f} GB at most (`full_run`)."
    )
    head = ("stage", "rows/s, two cores", "CPU s per million rows", "result")
    return f"{table(head, rows)}\n\n{bytes_line}"


def bottleneck(card: dict[str, float]) -> str:
    rates = results("full_run")["rates"]
    parts = {
        f"reader, {GPUS} H200, bf16, measured on one": 1e6 / (GPUS * card["extract_rows_per_s"]),
        f"reader, {GPUS} H200, fp8, the goal": 1e6 / (GPUS * GOAL_ROWS_PER_S),
        "extraction around the reader, two cores": 1e6 / rates["extractions_rows_per_s"],
        "conversations, two cores": 1e6 / rates["conversations_rows_per_s"],
        "embedding of a text each, one H200": 1e6 / card["embed_texts_per_s"],
        "labels, two cores": 1e6 / rates["labels_rows_per_s"],
        "statistics, two cores": 1e6 / rates["statistics_rows_per_s"],
        f"k-means, {ITERATIONS} iterations, one H200": ITERATIONS * card["kmeans_iteration_s"] / 8,
    }
    rows = [(name, f"{seconds:,.0f}") for name, seconds in parts.items()]
    goal, around = rows[1][0], rows[2][0]
    spare = parts[goal] / parts[around]
    return (
        table(("part", "seconds per million conversations"), rows)
        + "\n\nThe reader takes longest by far. Next is the extraction around it: at the goal, two"
        f" cores could feed {spare:.0f} times as many GPUs as these {GPUS}."
    )


def money(card: dict[str, float]) -> str:
    lexicon = 1e3 / results("lexicon")["rates"]["cpu_ms_per_row"]
    readers = [
        ("lexicon, a core", lexicon, CORE_HOUR, "measured"),
        ("8 billion weights, bf16, an H200", card["extract_rows_per_s"], GPU_HOUR, "measured"),
        ("8 billion weights, fp8, an H200", GOAL_ROWS_PER_S, GPU_HOUR, "goal, not measured"),
    ]
    rows = [
        (name, f"{rate:,.1f}", f"{price:.2f}", f"{1e6 / rate / 3600 * price:,.2f}", basis)
        for name, rate, price, basis in readers
    ]
    head = ("reader", "conversations/s", "$ an hour", "$ per million conversations", "rate is")
    return table(head, rows)


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


def page() -> str:
    """The text of `docs/benchmarks.md`."""
    card, embedding = results("card")["rates"], results("embed_host")
    host = embedding["rates"]
    return (
        (HERE / "stages.md")
        .read_text()
        .format(
            **card,
            stages=stages(),
            growth=growth(),
            bottleneck=bottleneck(card),
            money=money(card),
            gpus=GPUS,
            as_of=PRICES_AS_OF,
            gpu_hour=GPU_HOUR,
            core_hour=CORE_HOUR,
            host=f"{host['host_cpu_s_per_million_tokens']:.2f}",
            library=f"{host['library_cpu_s_per_million_tokens']:.2f}",
            saving=f"{embedding['ratios']['host_saving']:.0f}",
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if out of date")
    if not parser.parse_args().check:
        PAGE.write_text(page())
        return 0
    current = PAGE.exists() and PAGE.read_text() == page()
    print("up to date" if current else f"{PAGE.name} is out of date: run benchmarks/stages.py")
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main())
