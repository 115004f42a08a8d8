"""Every fault of the files is one line that names the file, before anything is computed."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import scipy.io

from alignment.errors import DataError, RequestError
from benchmarks.commands import check_command
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.nsd import NSD, Tree, check_nsd
from benchmarks.settings import parse

BETA = "betas_fithrf_GLMdenoise_RR"
Load = Callable[..., NSD]


def _hdf5(path: Path, betas: np.ndarray) -> None:
    path.unlink()
    with h5py.File(path, "w") as file:
        file["betas"] = betas


def _nii(path: Path, volume: np.ndarray) -> None:
    path.unlink(missing_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)


def _refused(load: Load, tree: Tree, message: str, **options: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load("V1", folder=tree.root, **options).responses("subj01")
    assert "\n" not in str(caught.value)
    assert str(tree.root) in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.nsd=<folder>"):
        NSD(DataSettings())
    with pytest.raises(DataError, match="no such folder; point"):
        NSD(DataSettings(root=tmp_path))


def test_no_betas(load: Load, broken: Tree) -> None:
    _refused(load, broken, "every subject lacks func1pt8mm/betas_assumehrf", beta="b1")


def test_missing_session(load: Load, broken: Tree) -> None:
    _refused(load, broken, "betas_session06.hdf5: no such file", sessions="6", subjects="2")


@pytest.mark.parametrize("source", ["hdf5", "nii"])
def test_truncated_betas(load: Load, broken: Tree, source: str) -> None:
    path = broken.betas(1, BETA, session=4, source=source)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    _refused(load, broken, "betas_session04.*truncated or not readable", source=source)


@pytest.mark.parametrize("source", ["hdf5", "nii"])
def test_betas_that_are_something_else(load: Load, broken: Tree, source: str) -> None:
    path = broken.betas(1, BETA, session=1, source=source)
    path.unlink()
    path.write_bytes(b"<html>not found</html>" * 100)
    _refused(load, broken, "betas_session01.*truncated or not readable", source=source)


def test_betas_of_another_shape_or_type(load: Load, broken: Tree) -> None:
    path = broken.betas(1, BETA, session=2, source="hdf5")
    _hdf5(path, np.zeros((209, 8, 12, 10), np.int16))
    _refused(load, broken, "session02.hdf5: 209 trials, expected 210")
    _hdf5(path, np.zeros((210, 10, 12, 8), np.int16))
    _refused(load, broken, r"session02.hdf5: volume is \(8, 12, 10\), but the regions of subj01 are \(10, 12, 8\)")
    _hdf5(path, np.zeros((210, 960), np.int16))
    _refused(load, broken, "expected four axes")
    _hdf5(path, np.zeros((210, 8, 12, 10), np.float32))
    _refused(load, broken, "betas are float32, expected int16")


def test_betas_that_are_no_dataset(load: Load, broken: Tree) -> None:
    path = broken.betas(1, BETA, session=2, source="hdf5")
    path.unlink()
    with h5py.File(path, "w") as file:
        file.create_group("betas")
    _refused(load, broken, "session02.hdf5: betas is no dataset")
    path.unlink()
    with h5py.File(path, "w") as file:
        file["betas"] = h5py.Empty("i2")
    _refused(load, broken, "session02.hdf5: betas is empty")


def test_nii_of_another_type_or_scaling(load: Load, broken: Tree) -> None:
    path = broken.betas(1, BETA, session=2, source="nii")
    _nii(path, np.zeros((10, 12, 8, 210), np.float32))
    _refused(load, broken, "betas are float32, expected int16", source="nii")


def test_mask_that_does_not_fit_the_volume(load: Load, broken: Tree) -> None:
    volume = np.asanyarray(nibabel.load(broken.roi(1, "prf-visualrois")).dataobj)
    _nii(broken.roi(1, "prf-visualrois"), volume.transpose(1, 0, 2).copy())
    with pytest.raises(DataError, match=r"[lr]h.prf-visualrois.nii.gz: volume is \(10, 12, 8\), the combined file"):
        load("V1", folder=broken.root)
    for hemisphere in ("lh", "rh"):
        broken.roi(1, "prf-visualrois", hemisphere=hemisphere).unlink()
    _refused(load, broken, r"volume is \(10, 12, 8\), but the regions of subj01 are \(12, 10, 8\)")


def test_ncsnr_missing_or_of_another_shape(load: Load, broken: Tree) -> None:
    path = broken.ncsnr(1, BETA)
    _nii(path, np.zeros((12, 10, 8), np.float32))
    _refused(load, broken, r"ncsnr.nii.gz: volume is \(12, 10, 8\), expected \(10, 12, 8\)")
    path.unlink()
    _refused(load, broken, r"ncsnr.nii.gz: no such file")


def test_ncsnr_below_0(load: Load, broken: Tree) -> None:
    _nii(broken.ncsnr(1, BETA), np.full((10, 12, 8), -1, np.float32))
    _refused(load, broken, r"ncsnr.nii.gz: ncsnr is below 0 somewhere")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "nsd_expdesign.mat: not a readable MATLAB v5/v7 file"),
        (
            b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" * 9,
            "is of MATLAB v7.3, expected v5",
        ),
        (b"<html>not found</html>" * 100, "nsd_expdesign.mat: not a readable MATLAB v5/v7 file"),
    ],
)
def test_design_that_is_something_else(load: Load, broken: Tree, content: bytes, message: str) -> None:
    broken.design.unlink()
    broken.design.write_bytes(content)
    _refused(load, broken, message)


@pytest.mark.parametrize("wrong", [np.zeros((0, 0)), np.full((1, 2000), np.nan), np.array(["a"], object)])
def test_design_that_holds_no_whole_numbers(load: Load, broken: Tree, wrong: np.ndarray) -> None:
    content = {k: v for k, v in scipy.io.loadmat(broken.design).items() if not k.startswith("__")}
    broken.design.unlink()
    scipy.io.savemat(broken.design, content | {"masterordering": wrong})
    _refused(load, broken, "nsd_expdesign.mat: masterordering (is|holds)")


def test_nsd_id_out_of_range(load: Load, broken: Tree) -> None:
    content = {k: v for k, v in scipy.io.loadmat(broken.design).items() if not k.startswith("__")}
    content["subjectim"][0, -1] = 80_000
    broken.design.unlink()
    scipy.io.savemat(broken.design, content)
    _refused(load, broken, "nsdId 79999 .* out of range")


def test_images_missing_truncated_or_too_few(load: Load, broken: Tree) -> None:
    content = broken.stimuli.read_bytes()
    broken.stimuli.unlink()
    _refused(load, broken, "nsd_stimuli.hdf5: no such file")
    broken.stimuli.write_bytes(content[:5000])
    _refused(load, broken, "nsd_stimuli.hdf5: truncated")
    broken.stimuli.unlink()
    with h5py.File(broken.stimuli, "w") as file:
        file["imgBrick"] = np.zeros((5, 64, 64, 3), np.uint8)
    _refused(load, broken, r"imgBrick is \(5, 64, 64, 3\), expected \(73000, 64, 64, 3\)")


def test_images_that_are_no_pictures(load: Load, broken: Tree) -> None:
    broken.stimuli.unlink()
    with h5py.File(broken.stimuli, "w") as file:
        file.create_dataset("imgBrick", shape=(73_000, 64, 64, 3), dtype="f4", chunks=(1, 64, 64, 3))
    _refused(load, broken, r"imgBrick is float32 \(73000, 64, 64, 3\), expected uint8")
    broken.stimuli.unlink()
    with h5py.File(broken.stimuli, "w") as file:
        file.create_group("imgBrick")
    _refused(load, broken, "nsd_stimuli.hdf5: imgBrick is no dataset")


def test_colour_table_without_a_line(load: Load, broken: Tree) -> None:
    path = broken.ctab(1, "prf-visualrois")
    path.unlink()
    path.write_text("nothing here\n")
    _refused(load, broken, "no line of the form")


def test_layout_that_is_none(broken: Tree) -> None:
    path = broken.root / "layout.json"
    good = json.loads(path.read_text())
    for wrong in ("{", "[]", json.dumps(good | {"images": "many"}), json.dumps(good | {"sessions": [1, 2]})):
        path.unlink()
        path.write_text(wrong)
        with pytest.raises(DataError, match=r"layout\.json"):
            Tree.at(broken.root)


def test_constant_voxel_and_undefined_ncsnr_are_dropped_not_errors(load: Load, broken: Tree) -> None:
    before = load("V1", folder=broken.root, subjects="1").responses("subj01")
    x, y, z = (int(before[axis][10]) for axis in "xyz")
    for session in range(1, 7):
        path = broken.betas(1, BETA, session=session, source="hdf5")
        with h5py.File(path) as file:
            betas = file["betas"][:]
        betas[:, z, y, x] = 123
        _hdf5(path, betas)
    snr = np.asanyarray(nibabel.load(broken.ncsnr(1, BETA)).dataobj).copy()
    u, v, w = (int(before[axis][20]) for axis in "xyz")
    snr[u, v, w] = np.nan
    _nii(broken.ncsnr(1, BETA), snr)
    after = load("V1", folder=broken.root, subjects="1").responses("subj01")
    new = set(after.attrs["dropped"]) - set(before.attrs["dropped"])
    assert new == {
        f"subj01 voxel ({x}, {y}, {z}): constant in every session", f"subj01 voxel ({u}, {v}, {w}): ncsnr undefined"
    }  # fmt: skip
    assert after.sizes["neuroid"] == before.sizes["neuroid"] - 2


def test_check_finds_nothing_wrong_in_a_whole_copy(root: Path) -> None:
    findings = check_nsd(root)
    assert all(finding.ok for finding in findings), [finding for finding in findings if not finding.ok]
    text = " ".join(f"{finding.what} {finding.found}" for finding in findings)
    assert "1260 trials, three routes agree on every one" in text
    assert "ncsnr" in text


def test_check_reports_every_fault(broken: Tree, tmp_path: Path) -> None:
    broken.stim_info.unlink()
    lines = broken.behaviour(2).read_text().splitlines()
    fields = lines[5].split("\t")
    fields[4] = str(int(fields[4]) + 1)
    broken.behaviour(2).unlink()
    broken.behaviour(2).write_text("\n".join([*lines[:5], "\t".join(fields), *lines[6:]]) + "\n")
    snr = np.asanyarray(nibabel.load(broken.ncsnr(1, BETA)).dataobj).copy()
    _nii(broken.ncsnr(1, BETA), (snr * 1.01).astype(np.float32))
    broken.betas(2, BETA, session=2, source="nii").unlink()
    findings = check_nsd(broken.root)
    faults = [finding.found for finding in findings if not finding.ok]
    assert any("nsd_stim_info_merged.csv: no such file" in fault for fault in faults)
    assert any("voxels differ from the betas" in fault for fault in faults)
    (gap,) = [finding for finding in findings if finding.incomplete]
    assert gap.ok and "4 sessions of 5" in gap.found and "missing: 2" in gap.found
    assert not check_nsd(tmp_path / "nowhere")[0].ok


def test_check_reads_compressed_betas_to_their_end(broken: Tree) -> None:
    path = broken.betas(1, BETA, session=3, source="nii")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    faults = [finding.found for finding in check_nsd(broken.root) if not finding.ok]
    assert len(faults) == 1 and "betas_session03.nii.gz: truncated" in faults[0]


def test_check_finds_a_trial_on_which_the_routes_differ(broken: Tree) -> None:
    lines = broken.behaviour(2).read_text().splitlines()
    fields = lines[5].split("\t")
    fields[4] = str(int(fields[4]) + 1)
    broken.behaviour(2).unlink()
    broken.behaviour(2).write_text("\n".join([*lines[:5], "\t".join(fields), *lines[6:]]) + "\n")
    faults = [finding.found for finding in check_nsd(broken.root) if not finding.ok]
    assert len(faults) == 1
    assert "1 trials of subj02 differ from the design, the first in session 1, trial 4" in faults[0]


def test_check_goes_on_after_betas_of_too_few_trials_or_none(broken: Tree) -> None:
    _hdf5(broken.betas(1, BETA, session=2, source="hdf5"), np.zeros((209, 8, 12, 10), np.int16))
    path = broken.betas(2, BETA, session=1, source="hdf5")
    path.unlink()
    with h5py.File(path, "w") as file:
        file.create_group("betas")
    faults = [finding.found for finding in check_nsd(broken.root) if not finding.ok]
    assert len(faults) == 2 and "session02.hdf5: shape" in faults[0] and "betas is no dataset" in faults[1]


def test_check_reads_every_label_volume_and_names_what_other_subjects_have(broken: Tree) -> None:
    broken.roi(1, "prf-visualrois").unlink()
    broken.ctab(2, "streams").unlink()
    labels = broken.roi(2, "floc-faces", hemisphere="lh")
    content = labels.read_bytes()
    labels.unlink()
    labels.write_bytes(b"")
    found = {finding.what: finding for finding in check_nsd(broken.root)}
    one, two = found["subj01 regions"], found["subj02 regions"]
    assert one.ok and one.incomplete and str(broken.roi(1, "prf-visualrois")) in one.found
    assert not two.ok and "lh.floc-faces.nii.gz: truncated" in two.found
    labels.write_bytes(content)
    (two,) = [finding for finding in check_nsd(broken.root) if finding.what == "subj02 regions"]
    assert two.ok and two.incomplete and two.found.endswith(f"missing: {broken.ctab(2, 'streams')}")


def test_the_check_tells_what_is_not_there_from_what_is_wrong(broken: Tree, capsys: pytest.CaptureFixture) -> None:
    broken.ctab(1, "prf-visualrois").unlink()
    words = ["benchmark=nsd.V1", f"data.nsd={broken.root}", f"results={broken.root}/results"]
    check_command(parse(words))
    table = capsys.readouterr().out
    assert re.search(r"part *│ subj01 regions", table) and re.search(r"ok *│ subj02 regions", table)
    assert "without subj01 (no prf-visualrois.mgz.ctab)" in table
    broken.stimuli.unlink()
    with pytest.raises(DataError, match=r"nsd.V1: 1 of \d+ checks failed, first images: .*nsd_stimuli.hdf5: no such"):
        check_command(parse(words))
    assert re.search(r"FAULT *│ images", capsys.readouterr().out)


def test_what_no_reader_foresaw_is_a_fault_too(broken: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def unforeseen(*_: object) -> None:
        raise AttributeError("two\nlines")

    monkeypatch.setattr(sys.modules[check_nsd.__module__], "check_brick", unforeseen)
    faults = [finding for finding in check_nsd(broken.root) if not finding.ok]
    assert [(fault.what, fault.found) for fault in faults] == [("images", "images: AttributeError: two lines")]


def test_unknown_region_is_a_request_that_cannot_be_met(load: Load) -> None:
    with pytest.raises(RequestError, match="did you mean"):
        load("V11")
