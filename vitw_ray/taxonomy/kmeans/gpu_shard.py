"""A k-means shard in the memory of one GPU, with exactly the results of an `ArrayShard`.

FAISS's kernels search in float32. Rows whose two best centroids float32 cannot separate are scored
again in float64. Sums are accumulated in float64 in any order. On the grid both are exact.
"""

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitw_ray.taxonomy.kmeans.grid import GRID, SQUARE_GRID, Basis, Rows
from vitw_ray.taxonomy.kmeans.nearest import gap_margin
from vitw_ray.taxonomy.kmeans.shards import ArrayShard, Candidates, ClusterSums, same_basis

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_ROWS = 2**17  # ours: 0.4 GB of float64 at 384 dimensions, and 2 GB of scores against 4,096


class GpuShard:
    """Points and weights as for `ArrayShard`, on a torch device ("cpu" is for tests)."""

    def __init__(
        self, points: ArrayLike, weights: ArrayLike | None = None, device: str = "cuda"
    ) -> None:
        import torch

        host = ArrayShard(points, weights)
        self._rows = torch.from_numpy(host.rows).to(device)
        self._weights = torch.from_numpy(host.weights).to(device)
        self._own_squares = torch.from_numpy(host.squares).to(device)
        self._labels = torch.zeros(len(host.rows), dtype=torch.int64, device=device)
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
            parts = self._seen.split(BLOCK_ROWS)
            self._labels = torch.cat([_nearest(part, centres) for part in parts])
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
                    labels[part] = numbers[_nearest(self._seen[part], near)]
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
        for part in rows.split(BLOCK_ROWS):
            clusters, weights = labels[part], sign * self._weights[part]
            self._sums.index_add_(0, clusters, self._seen[part].double() * weights[:, None])
            self._counts.index_add_(0, clusters, weights)
            self._in_squares.index_add_(0, clusters, sign * self._squares[part])


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
        scores = half_norms - rows[chosen].double() @ exact.T
        # Not argmin, which does not guarantee the first of equal values.
        ties = scores == scores.amin(dim=1, keepdim=True)
        labels[chosen] = _first(ties)
    return labels


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
