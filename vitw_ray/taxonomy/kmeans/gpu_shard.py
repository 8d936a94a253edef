"""A k-means shard in the memory of one GPU, with exactly the results of an `ArrayShard`.

Where Triton is installed, which torch for CUDA brings, one kernel searches in half precision, first
coarsely, then finely where the lead of the best centroid is within rounding (`fused`). Elsewhere
FAISS's kernels search in float32. Either way, rows whose two best centroids cannot be told apart
with certainty are scored again in float64. Sums are accumulated in float64 in any order. On the
grid both are exact. Rows are rounded, checked and measured on the GPU.
"""

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitw_ray.taxonomy.kmeans import fused
from vitw_ray.taxonomy.kmeans.grid import GRID, SQUARE_GRID, Basis, Rows
from vitw_ray.taxonomy.kmeans.nearest import gap_margin
from vitw_ray.taxonomy.kmeans.shards import (
    Candidates,
    ClusterSums,
    check_lengths,
    checked_weights,
    same_basis,
)

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_ROWS = 2**17  # ours: 0.4 GB of float64 at 384 dimensions, and 2 GB of scores against 4,096
FUSED_ROWS = 2**20  # ours: at most 2 GB are copied, where all rows of a block are searched again


class GpuShard:
    """Points and weights as for `ArrayShard`, on a torch device ("cpu" is for tests)."""

    def __init__(
        self, points: ArrayLike, weights: ArrayLike | None = None, device: str = "cuda"
    ) -> None:
        import torch

        given = np.asarray(points)
        if given.ndim != 2:
            raise ValueError(f"points have shape {given.shape}: give one row per point, (n, d)")
        self.fused = fused.usable(torch.device(device))
        self._rows = torch.empty(given.shape, dtype=torch.float32, device=device)
        lengths = torch.empty(len(given), dtype=torch.float64, device=device)
        # numpy adds the shift of `to_grid` in float32 to these, and in float64 to all others.
        narrow = given.dtype in (np.float32, np.float16)
        for start in range(0, len(given), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            part = np.asarray(given[block], np.float32 if narrow else np.float64, order="C")
            shifted = torch.tensor(part, device=device) + 3
            self._rows[block] = shifted.float() - 3
            lengths[block] = (self._rows[block].double() ** 2).sum(dim=1)
        if not bool((lengths < 1).all()):
            check_lengths(lengths.cpu().numpy())
        self._weights = torch.from_numpy(checked_weights(weights, len(given))).to(device)
        self._own_squares = (lengths / SQUARE_GRID).round().long() * self._weights
        self._labels = torch.zeros(len(given), dtype=torch.int64, device=device)
        self._see_in(None)

    def count(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def sample(self, rows: NDArray[np.int64]) -> Rows:
        """The rows at these indices."""
        import torch

        return self._rows[torch.from_numpy(rows).to(self._rows.device)].cpu().numpy()

    def labels(self) -> NDArray[np.int32]:
        """The cluster of each row; 0 before the first search."""
        return self._labels.cpu().numpy().astype(np.int32)

    def assign(
        self, centroids: Rows, candidates: Candidates | None = None, basis: Basis | None = None
    ) -> ClusterSums:
        """Assign every row to its nearest centroid; return the totals of all clusters."""
        import torch

        if not same_basis(basis, self._basis):
            self._see_in(basis)
        before, centres = self._labels, torch.tensor(centroids, device=self._labels.device)
        if candidates is None:
            self._labels = self._nearest_of_all(centres)
        else:
            self._labels = self._nearest_among(centres, candidates)
        self._count_changes(before, len(centroids))
        totals = ((self._sums / GRID).long(), self._counts, self._in_squares)
        return ClusterSums(*(found.cpu().numpy().copy() for found in totals))

    def _see_in(self, basis: Basis | None) -> None:
        import torch

        self._basis, self._seen, self._squares = basis, self._rows, self._own_squares
        self._start_totals(0)
        if basis is not None:
            axes = torch.tensor(basis, device=self._rows.device)
            parts = [
                _rounded(_rounded(part, 3 * 2**10) @ axes, 3)
                for part in self._rows.split(BLOCK_ROWS)
            ]
            self._seen = torch.cat(parts)
            lengths = [(part.double() ** 2).sum(dim=1) for part in parts]
            squares = (torch.cat(lengths) / SQUARE_GRID).round().long()
            self._squares = squares * self._weights
        self._halves = fused.halves_of(self._seen) if self.fused else None

    def _nearest_of_all(self, centres: "Tensor") -> "Tensor":
        import torch

        if self._halves is None:
            return torch.cat([_nearest(part, centres) for part in self._seen.split(BLOCK_ROWS)])
        parts = fused.split(self._halves, FUSED_ROWS)
        return torch.cat([_nearest_fused(part, centres) for part in parts])

    def _nearest_among(self, centres: "Tensor", candidates: Candidates) -> "Tensor":
        import torch

        device = self._labels.device
        groups = torch.tensor(candidates.group, dtype=torch.int64, device=device)[self._labels]
        sizes = torch.bincount(groups, minlength=len(candidates.starts) - 1).tolist()
        labels = torch.empty_like(self._labels)
        for group, rows in enumerate(groups.argsort().split(sizes)):
            if len(rows):
                numbers = torch.tensor(candidates.of(group), dtype=torch.int64, device=device)
                near = centres[numbers]
                for part in rows.split(BLOCK_ROWS):
                    if self._halves is None:
                        found = _nearest(self._seen[part], near)
                    else:
                        found = _nearest_fused(fused.taken(self._halves, part), near)
                    labels[part] = numbers[found]
        return labels

    def _start_totals(self, k: int) -> None:
        import torch

        device, dim = self._labels.device, self._seen.shape[1]
        self._sums = torch.zeros((k, dim), dtype=torch.float64, device=device)
        self._counts, self._in_squares = torch.zeros((2, k), dtype=torch.int64, device=device)

    def _count_changes(self, before: "Tensor", k: int) -> None:
        """Update the totals. Sums are exact, so rows can be subtracted from their old cluster."""
        import torch

        changed = torch.nonzero(self._labels != before)[:, 0]
        if len(self._sums) == k and 2 * len(changed) <= len(before):
            self._add(changed, before, -1)
        else:
            self._start_totals(k)
            changed = torch.arange(len(before), device=before.device)
        self._add(changed, self._labels, 1)

    def _add(self, rows: "Tensor", labels: "Tensor", sign: Literal[1, -1]) -> None:
        if self.fused:
            self._add_sorted(rows, labels, sign)
            return
        for part in rows.split(BLOCK_ROWS):
            clusters, weights = labels[part], sign * self._weights[part]
            self._sums.index_add_(0, clusters, self._seen[part].double() * weights[:, None])
            self._counts.index_add_(0, clusters, weights)
            self._in_squares.index_add_(0, clusters, sign * self._squares[part])

    def _add_sorted(self, rows: "Tensor", labels: "Tensor", sign: Literal[1, -1]) -> None:
        clusters, places = labels[rows].int().sort()
        rows, clusters = rows[places], clusters.long()
        weights = sign * self._weights[rows]
        fused.add_sorted(self._sums, self._seen, rows, clusters, weights.double())
        self._counts += _segment_sums(weights, clusters, len(self._counts))
        squares = sign * self._squares[rows]
        self._in_squares += _segment_sums(squares, clusters, len(self._counts))


def _segment_sums(values: "Tensor", clusters: "Tensor", k: int) -> "Tensor":
    """(k,) sums of int64 values by their sorted clusters."""
    import torch

    totals = torch.nn.functional.pad(values.cumsum(0), (1, 0))
    ends = torch.searchsorted(clusters, torch.arange(k, device=clusters.device), right=True)
    return totals[ends].diff(prepend=totals[:1])


def _rounded(rows: "Tensor", shift: int) -> "Tensor":
    """Rows rounded to the spacing of float32 near `shift` (see `grid`)."""
    return rows + shift - shift


def _nearest(rows: "Tensor", centres: "Tensor") -> "Tensor":
    """(n,) index of each row's exactly nearest centroid (see `nearest.nearest`)."""
    import torch

    if len(centres) == 1:
        return torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    search = _two_best_faiss if rows.is_cuda else _two_best_torch
    labels, gaps = search(rows, centres)
    doubtful = torch.nonzero(gaps <= gap_margin(rows.shape[1]))[:, 0]
    exact = centres.double()
    half_norms = (exact**2).sum(dim=1) / 2
    for chosen in doubtful.split(BLOCK_ROWS // 8):
        labels[chosen] = _exactly_nearest(rows[chosen].double(), exact, half_norms)
    return labels


def _nearest_fused(rows: fused.Halves, centres: "Tensor") -> "Tensor":
    """As `_nearest`, by the fused search."""
    import torch

    exact, near = centres.double(), fused.halves_of(centres)
    half_norms = (exact**2).sum(dim=1) / 2
    if len(centres) == 1:
        return torch.zeros(len(rows.high), dtype=torch.int64, device=centres.device)
    labels, leads = fused.two_best(rows, near, half_norms.float(), fine=False)
    doubtful = torch.nonzero(leads <= fused.coarse_margin(rows, near))[:, 0]
    again = fused.taken(rows, doubtful)
    labels[doubtful], leads = fused.two_best(again, near, half_norms.float(), fine=True)
    tied = torch.nonzero(leads <= fused.fine_margin(centres.shape[1]))[:, 0]
    for chosen in tied.split(BLOCK_ROWS // 8):
        points = fused.taken(again, chosen)
        whole = points.high.double() + points.low.double() / fused.LOW_SCALE
        labels[doubtful[chosen]] = _exactly_nearest(whole, exact, half_norms)
    return labels


def _exactly_nearest(rows: "Tensor", centres: "Tensor", half_norms: "Tensor") -> "Tensor":
    scores = half_norms - rows @ centres.T
    # Not argmin, which does not guarantee the first of equal values.
    return _first(scores == scores.amin(dim=1, keepdim=True))


def _first(marks: "Tensor") -> "Tensor":
    """(n,) index of the first true value in each row."""
    import torch

    numbers = torch.arange(marks.shape[1], device=marks.device)
    return torch.where(marks, numbers, marks.shape[1]).amin(dim=1)


def _two_best_torch(rows: "Tensor", centres: "Tensor") -> tuple["Tensor", "Tensor"]:
    scores = 2 * rows @ centres.T - (centres**2).sum(dim=1)
    best, numbers = scores.topk(2, dim=1)
    return numbers[:, 0].clone(), best[:, 0] - best[:, 1]


def _two_best_faiss(rows: "Tensor", centres: "Tensor") -> tuple["Tensor", "Tensor"]:
    import faiss
    import faiss.contrib.torch_utils  # patches FAISS to accept tensors

    squares, numbers = faiss.knn_gpu(_resources(), rows, centres, 2)
    return numbers[:, 0].clone(), squares[:, 1] - squares[:, 0]


@cache
def _resources() -> Any:
    import faiss

    return faiss.StandardGpuResources()
