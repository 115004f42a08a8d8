"""What tuning minimises: neural losses, distillation from a teacher, distance from the start; and what each moves."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from alignment.errors import RequestError
from alignment.tuning.neural_losses import (
    LEAST_IMAGES,
    MEANS_OVER_IMAGES,
    NEURAL,
    NeuralLoss,
    ceiling_weights,
    check_temperature,
)

__all__ = [
    "LEAST_IMAGES",
    "MEANS_OVER_IMAGES",
    "NEURAL",
    "NeuralLoss",
    "ceiling_weights",
    "distillation",
    "gradient_norms",
    "l2_starting_point",
]


def distillation(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    r"""$T^2\, \mathrm{KL}(\mathrm{softmax}(z_T / T) \parallel \mathrm{softmax}(z_S / T))$, mean over images, in nats.

    Hinton et al. 2015 (arXiv 1503.02531, section 2): the factor keeps the size of the gradient about the same at any
    temperature. Where there are time bins each is distilled, and they are averaged too. Exactly 0 for equal logits.

    Parameters
    ----------
    student, teacher : Tensor
        Logits, `(image, class)` or `(image, time_bin, class)`. The teacher gets no gradient.
    temperature : float
        Above 0.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    RequestError
        When shapes differ, or the temperature is not above 0.

    Examples
    --------
    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> distillation(logits, logits, temperature=2.0), distillation(0 * logits, logits, temperature=1.0)
    (tensor(0.), tensor(0.2194))
    """
    if student.shape != teacher.shape or student.ndim not in (2, 3) or 0 in student.shape:
        raise RequestError(
            f"logits of the student {tuple(student.shape)} and of the teacher {tuple(teacher.shape)} are not both "
            "(image, class) or (image, time_bin, class)"
        )
    check_temperature(temperature)
    dtype = torch.promote_types(student.dtype, torch.float32)
    of_student, of_teacher = (
        F.log_softmax(logits.to(dtype) / temperature, dim=-1) for logits in (student, teacher.detach())
    )
    divergence = F.kl_div(of_student, of_teacher, reduction="none", log_target=True).sum(-1)
    return temperature**2 * divergence.mean()


def l2_starting_point(parameters: Iterable[Tensor], start: Iterable[Tensor]) -> Tensor:
    r"""$\lVert \theta - \theta_0 \rVert^2$ over all parameters together.

    L2-SP of Li, Grandvalet & Davoine 2018 (ICML, section 3), without its factor of one half.

    Parameters
    ----------
    parameters : iterable of Tensor
        As they are now.
    start : iterable of Tensor
        As they were at the start, in the same order; they get no gradient.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    RequestError
        When there are none, or they do not match.

    Examples
    --------
    >>> l2_starting_point([torch.tensor([1.0, 2.0]), torch.tensor(3.0)], [torch.zeros(2), torch.tensor(1.0)])
    tensor(9.)
    """
    now, then = list(parameters), list(start)
    if not now or [p.shape for p in now] != [p.shape for p in then]:
        raise RequestError(
            f"{len(now)} parameters and {len(then)} of the start differ in number or shape: give both in one order"
        )
    return torch.stack([(p - p0.detach()).square().sum() for p, p0 in zip(now, then, strict=True)]).sum()


def gradient_norms(terms: Mapping[str, Tensor], parameters: Iterable[Tensor]) -> dict[str, float]:
    """Length of the gradient of each term of a loss on the parameters of the backbone.

    A term of 0 trains nothing: it was built without a graph, or behind something that stops gradients. Distillation and
    `l2_starting_point` are at their minimum, and 0, before the first step: look after it. The graph stays, so that the
    terms can still be summed and differentiated.

    Parameters
    ----------
    terms : mapping of str to Tensor
        Scalars.
    parameters : iterable of Tensor
        Those that require no gradient are passed over.

    Returns
    -------
    dict of str to float

    Raises
    ------
    RequestError
        When no parameter requires a gradient.

    Examples
    --------
    >>> w = torch.tensor([3.0, 4.0], requires_grad=True)
    >>> gradient_norms({"length": w.square().sum() / 2, "copied": torch.tensor(w.tolist()).sum()}, [w])
    {'length': 5.0, 'copied': 0.0}
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if not trained:
        raise RequestError(
            "no parameter requires a gradient, so that no term can train any; give those of the backbone"
        )
    return {name: _gradient_norm(term, trained) for name, term in terms.items()}


def _gradient_norm(term: Tensor, trained: list[Tensor]) -> float:
    if not term.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(term, trained, retain_graph=True, allow_unused=True)
    lengths = [torch.linalg.vector_norm(gradient).cpu().double() for gradient in gradients if gradient is not None]
    return float(torch.stack(lengths).norm()) if lengths else 0.0
