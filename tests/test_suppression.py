"""No cell of few conversations is written, and none follows from the others."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.statistics.suppression import hide_lines, hide_parts, hide_splits, hide_table

LEAST = 3


def tables(lines, cells, most=7):
    counts = st.integers(0, most)
    row = st.lists(counts, min_size=cells, max_size=cells)
    return st.lists(row, min_size=lines, max_size=lines).map(lambda rows: np.array(rows, int))


def determined(line, hidden):
    """Hidden cells of a line that have one value in every line with this sum and these open cells.

    Tries all lines of numbers that are not negative.
    """
    cells = np.flatnonzero(hidden)
    rest = int(line[cells].sum())
    values = [range(rest + 1)] * (len(cells) - 1)
    found = [(*most, rest - sum(most)) for most in itertools.product(*values) if sum(most) <= rest]
    return {cell for n, cell in enumerate(cells.tolist()) if len({one[n] for one in found}) == 1}


@settings(deadline=None, max_examples=100)
@given(tables(1, 4, most=5))
def test_no_hidden_cell_of_a_line_follows_from_its_sum(counts):
    hidden = hide_lines(counts, LEAST)
    assert not (~hidden & (counts > 0) & (counts < LEAST)).any()
    if counts.sum() >= LEAST and hidden.any():
        assert counts[hidden].sum() >= LEAST
        assert not determined(counts[0], hidden[0])


@settings(deadline=None, max_examples=100)
@given(tables(4, 5))
def test_no_hidden_cell_of_a_table_is_alone_in_its_row_or_column(counts):
    hidden = hide_table(counts, LEAST)
    assert not (~hidden & (counts > 0) & (counts < LEAST)).any()
    for lines, masks in ((counts, hidden), (counts.T, hidden.T)):
        for line, mask in zip(lines, masks, strict=True):
            if mask.any() and line[mask].any() and not mask.all():
                assert np.count_nonzero(line[mask]) >= 2
                assert line[mask].sum() >= LEAST


@settings(deadline=None)
@given(tables(4, 3), st.integers(0, 4))
def test_what_is_hidden_of_all_is_not_found_by_adding_the_groups(parts, unknown):
    whole = parts.sum(axis=1) + unknown
    hidden = hide_parts(whole, parts, LEAST)
    for row in np.flatnonzero(hide_lines(whole[None, :], LEAST)[0]):
        assert hidden[row].any() or not parts[row].any()


def test_one_group_hides_what_all_hide():
    whole = np.array([20, 2, 9, 0])
    assert hide_parts(whole, whole[:, None], LEAST)[:, 0].tolist() == [False, True, True, True]


@settings(deadline=None, max_examples=100)
@given(tables(3, 4), tables(3, 4))
def test_no_split_number_follows_from_the_sum_of_its_line(one, other):
    one, other = (np.column_stack([n.sum(axis=1), n]) for n in (one, other))
    hidden = hide_splits(one, other, LEAST, np.zeros(one.shape, bool))
    for numbers in (one, other):
        assert not (~hidden & (numbers > 0) & (numbers < LEAST)).any()
    for line in np.flatnonzero(~hidden[:, 0]):
        cells = hidden[line, 1:]
        for numbers in (one, other):
            rest = numbers[line, 1:][cells].sum()
            assert rest == 0 or rest >= LEAST
        assert np.count_nonzero((one + other)[line, 1:][cells]) != 1


@pytest.mark.parametrize(
    ("counts", "hidden"),
    [
        ([50, 9, 2, 0], [0, 1, 1, 1]),  # 2 is hidden with the zero and the smallest of the others
        ([50, 2, 2, 0], [0, 1, 1, 1]),  # two small ones have enough together
        ([50, 9, 0, 0], [0, 0, 0, 0]),  # nobody is behind a zero
        ([2, 0, 0, 0], [1, 1, 1, 1]),  # a group that is too small as a whole
    ],
)
def test_a_line_hides_no_more_than_it_must(counts, hidden):
    assert hide_lines(np.array([counts]), LEAST)[0].tolist() == [bool(one) for one in hidden]
