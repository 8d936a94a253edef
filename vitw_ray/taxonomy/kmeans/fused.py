"""The search of k-means in one Triton kernel: scores stay in registers and are never written.

Rows on the grid have 22 bits after the point, so each coordinate is exactly `high + low / 2**12` of
two halves. A coarse search multiplies the high halves, a fine one adds both mixed products. Each
returns the nearest centroid and its lead over the second, and the caller knows how much of a lead
rounding can make up (`coarse_margin`, `fine_margin`). Triton comes with torch for CUDA; without it
`usable` is False.
"""

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LOW_SCALE = 2.0**12  # half a unit of `high` below 1 is 2**-12, so a scaled `low` is at most 1
TRUNCATION = 2.0**-23  # ours: tensor cores may cut where float32 units round
ROWS_AT_ONCE, AXES_AT_ONCE = 128, 64  # ours: of a program, and of one product of tensor cores
COARSE_CENTRES, FINE_CENTRES = 256, 128  # ours: a fine search holds two numbers for each product
COARSE_STAGES, FINE_STAGES = 3, 2  # ours: tiles in flight, 144 and 128 KiB of halves
SHARED_BYTES = 160 * 2**10  # what both need of a multiprocessor; A100, H100 and later have it
SUMMED_ROWS, SUMMED_AXES = 256, 128  # ours: sorted rows that one program adds, and coordinates

tl: Any = None  # triton.language; Triton looks for it among the names of this module


class Halves(NamedTuple):
    """Rows as two float16 arrays, and the length of what the high one leaves out."""

    high: "Tensor"
    low: "Tensor"
    left_out: "Tensor"  # (n,) length of low / LOW_SCALE


def usable(device: "torch.device") -> bool:
    """Whether Triton is installed, and the device is a GPU that the kernels fit, or interpreted."""
    import torch

    if find_spec("triton") is None:
        return False
    if device.type != "cuda":
        return _interpreted()
    properties = torch.cuda.get_device_properties(device)
    return getattr(properties, "shared_memory_per_block_optin", 0) >= SHARED_BYTES


def taken(rows: Halves, chosen: "Tensor") -> Halves:
    """The rows at these indices."""
    return Halves(*(part[chosen] for part in rows))


def split(rows: Halves, size: int) -> list[Halves]:
    """Blocks of at most `size` rows."""
    return [Halves(*parts) for parts in zip(*(part.split(size) for part in rows), strict=True)]


def halves_of(rows: "Tensor") -> Halves:
    """Divide rows on the grid; exact."""
    high = rows.half()
    low = rows - high.float()
    return Halves(high, (low * LOW_SCALE).half(), low.norm(dim=1))


def coarse_margin(rows: Halves, centres: Halves) -> "Tensor":
    """(n,) leads that are certain after a search with the high halves only."""
    # |x y - high(x) high(y)| <= |low(x)| |y| + |x| |low(y)|, by lengths, which are at most 1. The
    # lead is a difference of two scores, doubled. 1.01 covers the rounding of the lengths.
    return 4.04 * (rows.left_out + centres.left_out.amax()) + fine_margin(rows.high.shape[1])


def fine_margin(dim: int) -> float:
    """Leads above this are certain after a search with both halves."""
    # As `nearest.gap_margin`, with cut sums, three products, and low(x) low(y) <= 2**-22 left out.
    return 8 * (dim + 16) * TRUNCATION + 4 * 2.0**-22


def two_best(rows: Halves, centres: Halves, half_norms: "Tensor", fine: bool) -> tuple[Any, Any]:
    """Number of each row's nearest centroid, and its lead in squared distance over the second."""
    import torch

    n, dim = rows.high.shape
    numbers = torch.empty(n, dtype=torch.int32, device=rows.high.device)
    leads = torch.empty(n, dtype=torch.float32, device=rows.high.device)
    centres_at_once = FINE_CENTRES if fine else COARSE_CENTRES
    stages = FINE_STAGES if fine else COARSE_STAGES
    if n:
        _kernels().search[(-(-n // ROWS_AT_ONCE),)](
            *(rows.high, rows.low, centres.high, centres.low, half_norms, numbers, leads),
            *(n, len(half_norms), dim, fine, ROWS_AT_ONCE, centres_at_once, AXES_AT_ONCE),
            **({} if _interpreted() else {"num_warps": 8, "num_stages": stages}),
        )
    return numbers.long(), leads


def add_sorted(
    sums: "Tensor", rows: "Tensor", order: "Tensor", clusters: "Tensor", weights: "Tensor"
) -> None:
    """Add the rows `order`, times float64 weights, to the float64 sums of their sorted clusters."""
    n, dim = len(order), sums.shape[1]
    if n:
        _kernels().add[(-(-n // SUMMED_ROWS), -(-dim // SUMMED_AXES))](
            *(sums, rows, order, clusters, weights, n, dim, SUMMED_ROWS, SUMMED_AXES)
        )


class _Kernels(NamedTuple):
    search: Any
    add: Any


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def _kernels() -> _Kernels:
    global tl
    triton = import_module("triton")
    tl = import_module("triton.language")

    @triton.jit
    def search(  # noqa: ANN202
        high, low, c_high, c_low, half_norms, numbers, leads, n, k, dim,  # noqa: ANN001
        FINE: tl.constexpr, ROWS: tl.constexpr, CENTRES: tl.constexpr, AXES: tl.constexpr,  # pyright: ignore[reportInvalidTypeForm]
    ):  # fmt: skip
        lines = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
        axes = tl.arange(0, AXES)
        best = tl.full((ROWS,), float("-inf"), tl.float32)
        second = tl.full((ROWS,), float("-inf"), tl.float32)
        number = tl.zeros((ROWS,), tl.int32)
        for first in range(0, k, CENTRES):
            columns = first + tl.arange(0, CENTRES)
            scores = tl.zeros((ROWS, CENTRES), tl.float32)
            mixed = tl.zeros((ROWS, CENTRES), tl.float32)
            for start in range(0, dim, AXES):
                ours = lines[:, None] * dim + start + axes[None, :]
                within = (lines[:, None] < n) & (start + axes[None, :] < dim)
                theirs = columns[None, :] * dim + start + axes[:, None]
                among = (columns[None, :] < k) & (start + axes[:, None] < dim)
                x = tl.load(high + ours, within, 0.0)
                y = tl.load(c_high + theirs, among, 0.0)
                scores = tl.dot(x, y, scores)
                if FINE:
                    mixed = tl.dot(x, tl.load(c_low + theirs, among, 0.0), mixed)
                    mixed = tl.dot(tl.load(low + ours, within, 0.0), y, mixed)
            if FINE:
                scores += mixed * (1.0 / 4096.0)
            norms = tl.load(half_norms + columns, columns < k, float("inf"))
            scores -= norms[None, :]
            found = tl.max(scores, axis=1)
            place = tl.argmax(scores, axis=1)
            others = tl.where(
                tl.arange(0, CENTRES)[None, :] == place[:, None], float("-inf"), scores
            )
            runner_up = tl.max(others, axis=1)
            second = tl.maximum(tl.minimum(best, found), tl.maximum(second, runner_up))
            number = tl.where(found > best, first + place, number)
            best = tl.maximum(best, found)
        tl.store(numbers + lines, number, lines < n)
        tl.store(leads + lines, 2 * (best - second), lines < n)

    @triton.jit
    def add(  # noqa: ANN202
        sums, rows, order, clusters, weights, n, dim,  # noqa: ANN001
        ROWS: tl.constexpr, AXES: tl.constexpr,  # pyright: ignore[reportInvalidTypeForm]
    ):  # fmt: skip
        start = tl.program_id(0).to(tl.int64) * ROWS
        axes = tl.program_id(1) * AXES + tl.arange(0, AXES)
        within = axes < dim
        total = tl.zeros((AXES,), tl.float64)
        current = tl.load(clusters + start)
        for line in range(start, tl.minimum(start + ROWS, n)):
            cluster = tl.load(clusters + line)
            if cluster != current:
                tl.atomic_add(sums + current * dim + axes, total, within)
                total = tl.zeros((AXES,), tl.float64)
                current = cluster
            row = tl.load(order + line)
            weight = tl.load(weights + line)
            total += tl.load(rows + row * dim + axes, within, 0.0).to(tl.float64) * weight
        tl.atomic_add(sums + current * dim + axes, total, within)

    return _Kernels(search, add)
