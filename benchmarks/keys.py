"""The keys a user can set, section by section: what each is typed as, and the line that a command's help gives it."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

DEVICE = re.compile(r"cpu|mps|cuda(:[0-9]{1,3})?")


def _items(value: object) -> object:
    """`a,b` -> ("a", "b"), each once; `none` and an empty text are the empty list."""
    if not isinstance(value, str):
        return value
    if value in ("", "none"):
        return ()
    return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def _given(value: object) -> object:
    """An empty place would be the current folder, and any other empty text nothing at all."""
    if isinstance(value, str) and not value.strip():
        raise ValueError("it is empty; give a value, or leave it out")
    return value


def check_device(value: str) -> str:
    """A device as torch names it."""
    if not DEVICE.fullmatch(value):
        raise ValueError("give cpu, cuda, cuda:<number> or mps")
    return value


Items = Annotated[tuple[str, ...], BeforeValidator(_items)]
Text = Annotated[str, BeforeValidator(_given)]
Place = Annotated[Path, BeforeValidator(_given), AfterValidator(Path.expanduser)]


class Section(BaseModel):
    """Keys that belong together; others are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Section):
    """Which models, and how each is set up."""

    name: Items = Field((), description="which models: of `bench list models`, or ./file.py:function; several by comma")
    weights: Text = Field("default", description="default (as published) | none (seeded random) | a file of weights")
    layers: Items = Field((), description="layer names or globs; the family's own choice when not given")


class BenchmarkSettings(Section):
    """Which benchmark, and what to change of it; every change is named in its id."""

    name: Items = Field((), description="of `bench list benchmarks`, or ./file.py:function; in place of suite")
    measure: Items = Field((), description="what is measured (`bench list measures`): ridge, rsa, cka-linear, ...")
    selection: Text | None = Field(None, description="how alpha is chosen: loo | gcv | kfold")
    pool: Text | None = Field(None, description="average-pool maps to at most n x n (usually 4) | none (whole maps)")
    projection: Text | None = Field(None, description="sparse random projection to this many units | none")
    precision: Text | None = Field(None, description="of the forward pass: float32 | bfloat16 | float16 | tf32")
    viewing: Text | None = Field(None, description="whole (resize all of the image) | degrees (keep visual degrees)")
    scale: Text | None = Field(
        None, description="none | floored_sd: how features are scaled before a ridge or a read-out"
    )
    comparator: Text | None = Field(None, description="of RDMs: spearman | pearson | rho-a | cosine | ...")
    distance: Text | None = Field(None, description="of RDMs: 1-pearson | squared-euclidean | 1-cosine | ...")
    pooling: Text | None = Field(None, description="of RDMs for ceilings: optimal (for the comparator) | mean")
    components: Text | None = Field(None, description="of pls and pcr: number of components")
    units: Text | None = Field(None, description="of reverse and matching: at most so many units, drawn by seed")
    against: Text | None = Field(
        None, description="of unique: the model whose share is taken out; of transfer: that is attacked"
    )
    attack: Text | None = Field(None, description="of robust: standard | pgd | fgsm | apgd-ce | square | ...")
    norm: Text | None = Field(None, description="of robust, fragility: linf | l2")
    epsilon: Text | None = Field(
        None, description="of robust, fragility: radius in pixel units, such as 8/255; of robust several by comma"
    )
    steps: Text | None = Field(None, description="of robust, fragility: steps of gradient attacks")
    moment: Text | None = Field(None, description="of networks with time: decision that counts: last | mean | each")
    kinds: Text | None = Field(None, description="of corruptions: fog, snow, ...; several by comma (all 15)")
    severities: Text | None = Field(None, description="of corruptions: 1 to 5; several by comma (all)")
    layers: Text | None = Field(None, description="of predictivity: only these layers of each model, by comma")
    onsets: Text | None = Field(None, description="of time-resolved: possible onsets, ms by comma; each bin from 0 on")
    ms_per_step: Text | None = Field(
        None, description="of time-resolved: possible ms of a step, by comma (10,20,40,80)"
    )
    subjects: Text | None = Field(None, description="of intervals: auto (resampled from 8 on) | fixed | resampled")


class DataChoices(BaseModel):
    """Where data lie, and which part of a data set is meant; any other key must be the name of a data set."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Place]

    root: Place = Field(Path("data"), description="folder that holds a folder per data set")
    subjects: Text | None = Field(None, description="of nsd: numbers, such as 1,2 or 1-4; all that are there")
    sessions: Text | None = Field(None, description="of nsd: numbers, such as 1-10; all that are there")
    beta: Text | None = Field(None, description="of nsd: b1 | b2 | b3")
    source: Text | None = Field(None, description="of nsd: hdf5 | nii | auto (whichever has more sessions)")
    split: Text | None = Field(None, description="of nsd: shared | test515")
    nc_min: Text | None = Field(None, description="of nsd: least noise ceiling of a voxel, percent of variance")
    visual_degrees: Text | None = Field(None, description="of folder: width of an image when it was shown")
    subset: Text | None = Field(None, description="of cifar10, digits, imagenet_folder: only so many of the images")

    def options(self) -> dict[str, str]:
        """What was asked of the data set itself."""
        fields = set(type(self).model_fields) - {"root"}
        return {key: value for key, value in self.model_dump().items() if key in fields and value is not None}

    def folders(self) -> dict[str, Path]:
        """Folders named for single data sets, `data.nsd=<folder>`."""
        return dict(self.model_extra or {})


class TuningSettings(Section):
    """How a network is tuned; what is not said is as the preset has it."""

    name: Text | None = Field(None, description="of configs/tuning: lwf | smoke | rep_align | ..., or ./mine.yaml")
    data: Text | None = Field(None, description="responses to tune toward, such as cowley2023.201025")
    task: Text | None = Field(None, description="labelled images of the network's task, such as cifar10")
    layers: Text | None = Field(
        None, description="read out, several together by comma (`bench show model=` lists them)"
    )
    time_bins: Text | None = Field(None, description="of the layers, by comma; the last of each")
    seeds: Text | None = Field(None, description="how many runs, from seed= on; or which, such as 1-5")
    audit: Text | None = Field(None, description="preset (what the preset says is scored) | none")
    readout: Text | None = Field(None, description="linear | pooled | factorised | gaussian")
    loss: Text | None = Field(None, description="mse | corr | cosine | cka | rsm | nce")
    neural: Text | None = Field(None, description="weight of the neural loss")
    distil: Text | None = Field(None, description="weight of distillation; several by comma for a front")
    replay: Text | None = Field(None, description="weight of distillation on the task's training images")
    joint: Text | None = Field(None, description="weight of the task's own loss, by its labels")
    anchor: Text | None = Field(None, description="weight of the distance from the teacher's weights")
    temperature: Text | None = Field(None, description="of distillation")
    batch_norm: Text | None = Field(None, description="freeze | dual | recalibrate | train (which forgets)")
    allow_drift: Text | None = Field(None, description="true: run batch_norm=train although it forgets")
    trainable: Text | None = Field(None, description="all | readout | bn_affine | last:<n>")
    learning_rate: Text | None = Field(None, description="at the start")
    schedule: Text | None = Field(None, description="of the learning rate: cosine (to a tenth) | constant")
    weight_decay: Text | None = Field(None, description="of the readout; of all trained weights with optimiser=adam")
    optimiser: Text | None = Field(None, description="adamw | adam")
    epochs: Text | None = Field(None, description="at most")
    batch_size: Text | None = Field(None, description="images with responses in a step")
    accumulate: Text | None = Field(None, description="parts that a step is cut into, to need less memory")
    precision: Text | None = Field(None, description="float32 | bfloat16, of passes through the network")
    jitter: Text | None = Field(None, description="largest shift of an image, share of its width, at most 1/16")
    warm_up: Text | None = Field(None, description="true | false: whether the readout starts from a ridge")
    judged_by: Text | None = Field(None, description="refit | readout: which ridge chooses the epoch, fresh or trained")
    patience: Text | None = Field(None, description="epochs without a better one before it stops")
    tolerance: Text | None = Field(None, description="how much accuracy a chosen epoch may have lost")
    split: Text | None = Field(None, description="split whose test images judge; the first")
    subjects: Text | None = Field(None, description="those tuned toward; the others are judged on; all")
    held_out_neuroids: Text | None = Field(None, description="share of neuroids that is only judged on, such as 1/3")
    validation: Text | None = Field(None, description="share of the training images that chooses the epoch")
    task_split: Text | None = Field(None, description="spread | first: which half of the task's images chooses")
    viewing: Text | None = Field(None, description="degrees | whole, as benchmark.viewing")
    noise_ceiling: Text | None = Field(None, description="assumed of every neuroid, where data give none")
    pixel_features: Text | None = Field(None, description="gabor | pixels: of the control pixel")
    other_data: Text | None = Field(None, description="of the control other_roi: other responses to the same images")
    other_model: Text | None = Field(None, description="of the control other_net: another network")
    adversarial: Text | None = Field(None, description="of the control adv: radius, such as 8/255")


class TrainingSettings(BaseModel):
    """How a network is trained; what is not said is as the preset has it. A kind of training may have further keys."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Text]

    name: Text | None = Field(
        None, description="of configs/training: rep_align | digits | ..., or ./mine.yaml; the model's own"
    )
    data: Text | None = Field(None, description="labelled images to train on, such as cifar10 or digits")
    images: Text | None = Field(None, description="only the first so many training images; all that are there")
    epochs: Text | None = Field(None, description="passes over the training images")
    batch_size: Text | None = Field(None, description="images in an update")
    learning_rate: Text | None = Field(None, description="the highest; rises in a line, falls along a cosine")
    least_learning_rate: Text | None = Field(None, description="at the beginning and at the end")
    warm_up_epochs: Text | None = Field(None, description="of the rise; the preset's share of the epochs")
    momentum: Text | None = Field(None, description="of Nesterov's kind; 0 for none")
    weight_decay: Text | None = Field(None, description="added to the gradient, times the weight")
    padding: Text | None = Field(None, description="largest shift of an image, in pixels")
    flip: Text | None = Field(None, description="true | false: whether half of the images are flipped")
    validation: Text | None = Field(None, description="share of the training images that chooses the epoch")
    select: Text | None = Field(None, description="accuracy | loss, of those images")
    precision: Text | None = Field(None, description="of the forward pass: float32 | bfloat16")
    seed: Text | None = Field(None, description="of the order of images, shifts, flips and dropout; that of seed=")

    def changes(self) -> dict[str, str]:
        """What was asked for, by key."""
        return {key: value for key, value in self.model_dump().items() if value is not None and key != "name"}
