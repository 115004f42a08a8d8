"""Objects among fragments of objects: the stimuli of Thorat, Aldegheri & Kietzmann 2021, made anew for any image."""

from alignment.stimuli.clutter.objects import CLASSES, Objects, training_split
from alignment.stimuli.clutter.render import render
from alignment.stimuli.clutter.scene import EXTREMES, VARIED, Placed, Scene, Variation, draw
from alignment.stimuli.clutter.stimuli import VARIABLES, Batch, Clutter
from alignment.stimuli.clutter.swaps import SWAPS, partners

__all__ = [
    "CLASSES",
    "EXTREMES",
    "SWAPS",
    "VARIABLES",
    "VARIED",
    "Batch",
    "Clutter",
    "Objects",
    "Placed",
    "Scene",
    "Variation",
    "draw",
    "partners",
    "render",
    "training_split",
]
