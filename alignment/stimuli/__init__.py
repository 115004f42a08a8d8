"""Stimuli: images known by their ids."""

from alignment.stimuli.stimulus_set import StimulusSet

__all__ = ["StimulusSet"]
