"""Three routes from trial to image, and the counts that follow from the design."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alignment.errors import DataError
from benchmarks.datasets.nsd import Layout, Tree
from benchmarks.datasets.nsd.design import (
    TRIAL_COLUMNS,
    Design,
    experiment_counts,
    read_design,
    repetitions,
    shared_by_all,
    trials_from_behaviour,
    trials_from_design,
    trials_from_stim_info,
)


@pytest.mark.parametrize(("subject", "sessions"), [(1, 6), (2, 5)])
def test_three_routes_agree_on_every_trial(tree: Tree, subject: int, sessions: int) -> None:
    design = read_design(tree.design, tree.layout)
    by_design = trials_from_design(design, tree.layout, subject=subject, sessions=range(1, 7))[TRIAL_COLUMNS]
    by_table = trials_from_stim_info(tree.stim_info, tree.layout, subject=subject)
    by_behaviour = trials_from_behaviour(tree.behaviour(subject), tree.layout)
    assert len(by_behaviour) == sessions * 210
    assert np.array_equal(by_table.to_numpy(), by_design.to_numpy())
    assert np.array_equal(by_behaviour.to_numpy(), by_design.to_numpy()[: sessions * 210])


def test_trials_follow_the_formula_of_the_manual(tree: Tree) -> None:
    import scipy.io

    content = scipy.io.loadmat(tree.design)
    assert content["masterordering"].dtype == np.uint16
    design = read_design(tree.design, tree.layout)
    table = trials_from_design(design, tree.layout, subject=2, sessions=(5, 2))
    for row in (0, 7, 209, 210, 419):
        session, trial = table.loc[row, ["session", "trial"]]
        position = int(content["masterordering"][0, (session - 1) * 210 + trial])
        assert table.loc[row, "nsd_id"] == int(content["subjectim"][1, position - 1]) - 1
        assert table.loc[row, "shared"] == (position <= 60)
    assert table["session"].tolist() == [5] * 210 + [2] * 210


def test_counts_of_a_small_design() -> None:
    layout = Layout(trials_per_run=(2, 1), sessions=(4, 4, 4, 4, 4, 4, 4, 3), images=100, image_size=8)
    order = np.array([0, 1, 2, 0, 1, 3, 2, 0, 1, 2, 3, 3])
    images = np.array([[5, 9, *own] for own in np.arange(20, 36).reshape(8, 2)])
    design = Design(order, images, 2)
    assert repetitions(design, layout)[0].tolist() == [3, 3, 3, 3]
    assert repetitions(design, layout)[7].tolist() == [3, 3, 2, 1]
    assert shared_by_all(design, layout).tolist() == [5, 9]
    counts = experiment_counts(design, layout)
    assert counts == {"trials": 93, "images": 18, "shared_1": 2, "shared_2": 2, "shared_3": 2}
    fewer = Layout(trials_per_run=(2, 1), sessions=(4, 4, 4, 2, 4, 4, 4, 3), images=100, image_size=8)
    assert [experiment_counts(design, fewer)[f"shared_{n}"] for n in (1, 2, 3)] == [2, 2, 0]


def test_real_layout_adds_up() -> None:
    layout = Layout()
    assert layout.trials_per_session == 750
    assert sum(layout.sessions) * layout.trials_per_session == 213_000


def test_published_counts_from_the_real_design(shared_data: Path) -> None:
    folder = shared_data / "nsd"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: the real design is under terms of use")
    tree = Tree.at(folder)
    counts = experiment_counts(read_design(tree.design, tree.layout), tree.layout)
    assert counts == {"trials": 213_000, "images": 70_566, "shared_1": 907, "shared_2": 766, "shared_3": 515}


def test_missing_and_unreadable_design(tmp_path: Path, tree: Tree) -> None:
    with pytest.raises(DataError, match=r"no\.mat: no such file"):
        read_design(tmp_path / "no.mat", tree.layout)
    short = tmp_path / "short.mat"
    short.write_bytes(tree.design.read_bytes()[:400])
    with pytest.raises(DataError, match="not a readable MATLAB"):
        read_design(short, tree.layout)


def _saved(tree: Tree, path: Path, **changed: np.ndarray) -> Path:
    import scipy.io

    content = {k: v for k, v in scipy.io.loadmat(tree.design).items() if not k.startswith("__")}
    scipy.io.savemat(path, content | changed)
    return path


def test_nsd_id_out_of_range(tmp_path: Path, tree: Tree) -> None:
    import scipy.io

    images = scipy.io.loadmat(tree.design)["subjectim"].copy()
    images[3, 100] = 73_001
    with pytest.raises(DataError, match=r"subjectim names nsdId 73000 \(0-based\), out of range 0\.\.72999"):
        read_design(_saved(tree, tmp_path / "x.mat", subjectim=images), tree.layout)
    images[3, 100] = 0
    with pytest.raises(DataError, match="nsdId -1"):
        read_design(_saved(tree, tmp_path / "x.mat", subjectim=images), tree.layout)
    images[3, 100] = images[3, 101]
    with pytest.raises(DataError, match="subj04 has an image twice"):
        read_design(_saved(tree, tmp_path / "x.mat", subjectim=images), tree.layout)


def test_design_saved_as_floating_point_is_read_alike(tmp_path: Path, tree: Tree) -> None:
    import scipy.io

    as_float = scipy.io.loadmat(tree.design)["masterordering"].astype(float)
    path = _saved(tree, tmp_path / "float.mat", masterordering=as_float)
    assert np.array_equal(read_design(path, tree.layout).order, read_design(tree.design, tree.layout).order)


def test_faults_of_the_tables(tmp_path: Path, tree: Tree) -> None:
    with pytest.raises(DataError, match="no such file"):
        trials_from_stim_info(tmp_path / "no.csv", tree.layout, subject=1)
    table = pd.read_csv(tree.stim_info, index_col=0)
    rows = table.index[table["subject1_rep0"] > 0][:2]
    path = tmp_path / "table.csv"
    twice = table.copy()
    twice.loc[rows[1], "subject1_rep0"] = twice.loc[rows[0], "subject1_rep0"]
    twice.to_csv(path)
    with pytest.raises(DataError, match="two images at trial"):
        trials_from_stim_info(path, tree.layout, subject=1)
    table.loc[0, "nsdId"] = 73_000
    table.to_csv(path)
    with pytest.raises(DataError, match="nsdId 73000"):
        trials_from_stim_info(path, tree.layout, subject=1)
    table.drop(columns="subject1_rep2").to_csv(path)
    with pytest.raises(DataError, match="subject1_rep2"):
        trials_from_stim_info(path, tree.layout, subject=1)
    assert len(table.columns) == 40


def test_faults_of_behaviour(tmp_path: Path, tree: Tree) -> None:
    table = pd.read_csv(tree.behaviour(1), sep="\t")
    assert len(table.columns) == 19
    path = tmp_path / "responses.tsv"
    pd.concat([table, table.iloc[[33]]]).to_csv(path, sep="\t", index=False)
    with pytest.raises(DataError, match="duplicate trial 34 of run 1, session 1"):
        trials_from_behaviour(path, tree.layout)
    table.iloc[:-3].to_csv(path, sep="\t", index=False)
    with pytest.raises(DataError, match="session 6 has 207 trials, expected 210"):
        trials_from_behaviour(path, tree.layout)
