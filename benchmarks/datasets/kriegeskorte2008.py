"""RDMs of 92 object images in human and monkey IT and in human judgement (Kriegeskorte et al. 2008).

Human IT: fMRI of four people in two sessions each. Monkey IT: 674 neurons (Kiani et al. 2007). Judgements: 16 people
who arranged the images by similarity (Mur et al. 2013). The MATLAB files of the upstream demos hold all of these, the
images, and eight model RDMs; they are taken from a folder or fetched from the commit named here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alignment.errors import RequestError, unknown
from alignment.fetch import fetch
from alignment.rsa.rdms import RDMs
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.given_rdms import GivenRDMs
from benchmarks.datasets.kriegeskorte2008_files import MatlabImages, read_rdms, stack
from benchmarks.datasets.options import check_options
from benchmarks.datasets.places import published_folder

NAME = "kriegeskorte2008"
VERSION = 1
COMMIT = "f1f83cadb7243492a1aae7460466e0f0140b20ac"
SOURCE = f"https://raw.githubusercontent.com/rsagroup/rsatoolbox/{COMMIT}/demos/92imageData"
LICENCE = "MIT repository; licence of the photographs not stated"
NEURON = "Kriegeskorte et al. 2008, Neuron 60:1126, doi:10.1016/j.neuron.2008.10.043"
KIANI = "Kiani, Esteky, Mirpour, Tanaka 2007, J Neurophysiol 97:4296, doi:10.1152/jn.00024.2007"
MUR = "Mur et al. 2013, Front Psychol 4:128, doi:10.3389/fpsyg.2013.00128"
MODELS_TRAP = "the published model monkeyIT is the RDM of the selection monkeyIT, where it is left out"

BRAIN = "92_brainRDMs.mat"
BEHAVIOUR = "92_behavRDMs.mat"
MODELS = "92_modelRDMs.mat"
SUPPLEMENT = "Kriegeskorte_Neuron2008_supplementalData.mat"
FIGURE = "RDMs_mIT_hIT_fig1"

CHECKSUMS: Mapping[str, str] = {
    BRAIN: "1743f90a15e895798a94318649e80e1123a7e5943a1703fa1dd7c31ea5780b7c",
    BEHAVIOUR: "7a8e118c144c3840adeeeef6ea0706a0be2b3e80df719af15fbb56fc62562f5f",
    MODELS: "e1d2b58bb2f9508bc13da4c81b94d1ab07823b25ed30b9563bd9d6d730c2a00a",
    SUPPLEMENT: "06f21214399a5d43dc264eed19a7f4b8daf11c8622a59eec3e106064ce5e3504",
}

# (file of RDMs, stimulus ids) -> what was measured
Reader = Callable[[Path, Sequence[str]], RDMs]


@dataclass(frozen=True)
class Selection:
    """What can follow the dot of `kriegeskorte2008.`.

    Attributes
    ----------
    file : that holds its RDMs
    read : (file, stimulus ids) to RDMs
    what, citation, trap : what `describe` says of it
    left_out : published models that are these very RDMs
    """

    file: str
    read: Reader
    what: str
    citation: str
    trap: str
    left_out: tuple[str, ...] = ()


def _human_it(path: Path, stimuli: Sequence[str]) -> RDMs:
    named = read_rdms(path, variable="RDMs", stimuli=stimuli)
    # such as "hIT | BE | Session: 1"
    _, people, sessions = zip(*[name.split(" | ") for name in named], strict=True)
    numbers = [session.removeprefix("Session: ") for session in sessions]
    return stack(named, distance="1-pearson", subjects=people, sessions=numbers)


def _behaviour(path: Path, stimuli: Sequence[str]) -> RDMs:
    named = read_rdms(path, variable="rdms_behav_92", stimuli=stimuli)
    return stack(named, distance="multi-arrangement", subjects=[name.split(" | ")[1] for name in named])


def _group_human_it(path: Path, stimuli: Sequence[str]) -> RDMs:
    return _of_figure(path, stimuli, published="hITvisStim_316vx", subject="group")


def _monkey_it(path: Path, stimuli: Sequence[str]) -> RDMs:
    return _of_figure(path, stimuli, published="mIT_674neurons", subject="monkeys")


def _of_figure(path: Path, stimuli: Sequence[str], *, published: str, subject: str) -> RDMs:
    one = read_rdms(path, variable=FIGURE, stimuli=stimuli)[published]
    return stack({published: one}, distance="1-pearson", subjects=[subject])


SELECTIONS: Mapping[str, Selection] = {
    "humanIT": Selection(
        BRAIN,
        _human_it,
        "human IT, fMRI, mean of two sessions a subject",
        NEURON,
        "4 subjects are too few to speak for people; two-valued models such as animacy have ties, which Spearman "
        "favours and rho-a does not",
    ),
    "humanIT-group": Selection(
        SUPPLEMENT,
        _group_human_it,
        "human IT, fMRI, the 316 voxels of figure 1, mean over subjects and sessions",
        NEURON,
        "one RDM, the mean of those of humanIT: no subjects to make a ceiling of, nor independent of humanIT",
    ),
    "monkeyIT": Selection(
        SUPPLEMENT,
        _monkey_it,
        "macaque IT, 674 neurons of two animals",
        f"{NEURON}; {KIANI}",
        "one RDM, no subjects to make a ceiling of",
        left_out=("monkeyIT",),
    ),
    "behaviour": Selection(
        BEHAVIOUR,
        _behaviour,
        "similarity judgements, images arranged on a screen",
        f"{NEURON}; {MUR}",
        "dissimilarities are relative within a subject: only their order or their proportions mean something",
    ),
}


def build(settings: DataSettings, selection: str | None) -> GivenRDMs:
    """The data set named after the dot of `kriegeskorte2008.<selection>`.

    Parameters
    ----------
    settings : `folder`, or `root`/kriegeskorte2008, or `cache`/kriegeskorte2008 holds the files or receives the
        downloads
    selection : humanIT, humanIT-group, monkeyIT or behaviour

    Raises
    ------
    RequestError
        No or another selection, or an option was given.
    DataError
        A folder was named and is not there; a file has another checksum or cannot be fetched.
    """
    if selection is None:
        raise RequestError(f"{NAME} needs a selection: {', '.join(f'{NAME}.{each}' for each in SELECTIONS)}")
    if selection not in SELECTIONS:
        raise unknown(f"selection of {NAME}", selection, SELECTIONS)
    name, chosen = f"{NAME}.{selection}", SELECTIONS[selection]
    check_options(settings.options, accepted=(), name=name)
    folder = published_folder(settings, name=NAME)
    files = {
        file: fetch(f"{SOURCE}/{file}", sha256=CHECKSUMS[file], folder=folder)
        for file in dict.fromkeys((SUPPLEMENT, MODELS, chosen.file))
    }
    images = MatlabImages(files[SUPPLEMENT])
    models = read_rdms(files[MODELS], variable="Models", stimuli=images.ids)
    return GivenRDMs(
        name,
        images.stimulus_set(name),
        chosen.read(files[chosen.file], images.ids),
        models={model: rdm for model, rdm in models.items() if model not in chosen.left_out},
        version=VERSION,
        said=_said(chosen, folder),
        files=tuple(files.values()),
    )


def _said(chosen: Selection, folder: Path) -> dict[str, str]:
    return {
        "what": chosen.what,
        "traps": f"{chosen.trap}; {MODELS_TRAP}",
        "folder": str(folder),
        "source": SOURCE,
        "citation": chosen.citation,
        "licence": LICENCE,
    }
