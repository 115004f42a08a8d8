"""Every fault of the files is one line that names the file, before anything is computed."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import scipy.io

from alignment.errors import DataError, RequestError
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.nsd import NSD, Tree, check_nsd

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
    assert any("4 sessions of 5" in finding.found and "missing: 2" in finding.found for finding in findings)
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


def test_unknown_region_is_a_request_that_cannot_be_met(load: Load) -> None:
    with pytest.raises(RequestError, match="did you mean"):
        load("V11")
