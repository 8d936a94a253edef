"""A release beside tables in the columns of the paper's data set."""

from pathlib import Path

import pytest

from vitw_ray.cli.check import main
from vitw_ray.errors import ConfigError, OutputError
from vitw_ray.release.reference import compare
from vitw_ray.storage import Storage

TREE = "cluster_id,description,name,level,parent_cluster_id,pct_total_occurrences\n"


def folder(path: Path, shares: dict[str, float], homes: dict[str, str] | None = None) -> Storage:
    path.mkdir()
    rows = [f"{name},{share}\n" for name, share in shares.items()]
    (path / "values_frequencies.csv").write_text("value,pct_convos\n" + "".join(rows))
    if homes is not None:
        rows = [f"{name},,{name},0,{home},1.0\n" for name, home in homes.items()]
        (path / "values_tree_half.csv").write_text(TREE + "".join(rows))
    return Storage(str(path))


def test_a_release_agrees_with_itself(tmp_path):
    shares = {"care": 30.0, "tact": 20.0, "zeal": 10.0, "calm": 5.0}
    homes = {"care": "x", "tact": "x", "zeal": "y", "calm": "y"}
    one = folder(tmp_path / "a", shares, homes)
    found = compare(one, folder(tmp_path / "b", shares, homes))
    assert (found.common, found.top_overlap, found.largest_difference) == (4, 4, 0)
    assert (found.rank_correlation, found.tree_agreement) == (1.0, 1.0)


def test_differences_are_of_common_values_and_in_points(tmp_path):
    one = folder(tmp_path / "a", {"care": 30.0, "tact": 20.0, "zeal": 10.0, "own": 1.0})
    other = folder(tmp_path / "b", {"care": 10.0, "tact": 20.0, "zeal": 31.0})
    found = compare(one, other)
    assert (found.values, found.reference_values, found.common) == (4, 3, 3)
    assert found.largest_difference == 21
    assert found.mean_difference == pytest.approx(41 / 3, abs=0.001)
    assert found.rank_correlation == -1
    assert found.tree_agreement is None


def test_trees_that_divide_otherwise_do_not_agree(tmp_path):
    shares = {"care": 30.0, "tact": 20.0, "zeal": 10.0, "calm": 5.0}
    one = folder(tmp_path / "a", shares, {"care": "x", "tact": "x", "zeal": "y", "calm": "y"})
    other = folder(tmp_path / "b", shares, {"care": "x", "tact": "y", "zeal": "x", "calm": "y"})
    assert compare(one, other).tree_agreement < 0


@pytest.mark.parametrize("content", ["value\ncare\n", "value,pct_convos\ncare,much\n", "\udcff"])
def test_a_table_of_another_form_is_an_error_that_names_it(content, tmp_path):
    one = folder(tmp_path / "a", {"care": 30.0})
    (tmp_path / "b").mkdir()
    data = content.encode("utf-8", "surrogateescape")  # the last one is no UTF-8
    (tmp_path / "b" / "values_frequencies.csv").write_bytes(data)
    with pytest.raises(OutputError, match="values_frequencies"):
        compare(one, Storage(str(tmp_path / "b")))
    with pytest.raises(OutputError, match="values_frequencies"):
        compare(Storage(str(tmp_path / "none")), one)


def test_another_flag_of_the_check_of_a_release_is_refused(tmp_path):
    one = folder(tmp_path / "a", {"care": 30.0})
    (tmp_path / "a" / "release.json").write_text("{}")
    with pytest.raises(ConfigError, match="--reference"):
        main([one.root, "--other"])
