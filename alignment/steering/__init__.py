"""Steering a network with feedback by templates, and what it then sees in composite images."""

from alignment.steering.challenge import Cueing, Pairs, alone, challenge, source_of_decisions, sweep_shares
from alignment.steering.metrics import Answers, AtShare, WithCues, answers, by_share, summarised
from alignment.steering.templates import ClassMoments, class_moments, one_hot, random_templates

__all__ = [
    "Answers",
    "AtShare",
    "ClassMoments",
    "Cueing",
    "Pairs",
    "WithCues",
    "alone",
    "answers",
    "by_share",
    "challenge",
    "class_moments",
    "one_hot",
    "random_templates",
    "source_of_decisions",
    "summarised",
    "sweep_shares",
]
