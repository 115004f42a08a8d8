"""MNIST and Fashion-MNIST: 28x28 grey handwritten digits and garments, 10,000 of each to test on.

From a folder that holds the raw files as torchvision unpacks them, or a folder of torchvision's; else they are
downloaded. Files that are cut to fewer images are read too.
"""

from dataclasses import dataclass
from typing import NamedTuple

from alignment.stimuli import StimulusSet
from alignment.stimuli.clutter.objects import DIGITS, GARMENTS
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.mnist_files import Published, RawFiles, raw_files
from benchmarks.datasets.options import check_options, refuse_selection
from benchmarks.datasets.places import published_folder
from benchmarks.datasets.sources import SourcedImages, SourceImages
from benchmarks.datasets.subsets import OPTION, asked_subset, subset_marks

VERSION = 1
TEST_IMAGES = 10_000


class Kind(NamedTuple):
    """One of the two sets.

    Attributes
    ----------
    name : of the data set
    classes : in the order of the targets
    published : its files
    citation, licence : what `describe` says
    """

    name: str
    classes: tuple[str, ...]
    published: Published
    citation: str
    licence: str


MNIST = Kind(
    "mnist",
    DIGITS,
    Published(
        "MNIST",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        },
    ),
    "LeCun, Bottou, Bengio & Haffner 1998, Gradient-based learning applied to document recognition, Proc. IEEE",
    "CC BY-SA 3.0",
)
FASHION_MNIST = Kind(
    "fashion_mnist",
    GARMENTS,
    Published(
        "FashionMNIST",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        },
    ),
    "Xiao, Rasul & Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747",
    "MIT",
)


@dataclass(frozen=True, kw_only=True)
class Mnist(SourcedImages):
    """One of the two sets, images 28x28.

    Parameters
    ----------
    source : the files that hold test and training images
    """

    source: RawFiles


def build_mnist(settings: DataSettings, selection: str | None) -> Mnist:
    """The handwritten digits to test on, in the official order; the first so many where fewer are asked for.

    Parameters
    ----------
    settings : `folder`, or `root`/mnist, or `root`, or `cache`/mnist holds the files, in themselves or in torchvision's
        MNIST/raw; where they are nowhere they are downloaded. Option `subset`: only the first so many images
    selection : None, for nothing can be selected

    Raises
    ------
    RequestError
        Something is selected, or an option is unknown or no number of images that there is.
    DataError
        A folder was named and is not there; a file is damaged, has another checksum or cannot be fetched.
    """
    return _build(MNIST, settings, selection)


def build_fashion_mnist(settings: DataSettings, selection: str | None) -> Mnist:
    """The garments; as `build_mnist`, in `fashion_mnist` and torchvision's FashionMNIST/raw."""
    return _build(FASHION_MNIST, settings, selection)


def source_of(kind: Kind, settings: DataSettings) -> RawFiles:
    """The files of a set, at hand or downloaded.

    Raises
    ------
    DataError
        As of `build_mnist`.
    """
    folder = published_folder(settings, name=kind.name)
    # below a root of torchvision's data; not beside a folder that was named, for that one is meant
    beside = () if settings.folder or settings.root is None else (settings.root / kind.published.folder / "raw",)
    return raw_files(kind.published, folder, also=beside)


def _build(kind: Kind, settings: DataSettings, selection: str | None) -> Mnist:
    refuse_selection(selection, name=kind.name)
    check_options(settings.options, accepted=(OPTION,), name=kind.name)
    source = source_of(kind, settings)
    images = SourceImages(source)
    targets = images.test.targets
    n = asked_subset(settings.options, at_hand=len(targets), where=str(source.files[0]))
    labels = tuple(kind.classes[target] for target in targets[:n])
    return Mnist(
        kind.name,
        StimulusSet(kind.name, images.ids(n), images.read, labels=labels, sources=source.files[:1]),
        kind.classes,
        version=VERSION,
        marks=subset_marks(n, of=TEST_IMAGES),
        said={
            "test images at hand": len(targets),
            "files": str(source.folder),
            "source": kind.published.address,
            "citation": kind.citation,
            "licence": kind.licence,
        },
        files=source.files,
        source=source,
    )
