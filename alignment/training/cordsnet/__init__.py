"""From a CNN to a dynamical system in steps: equivalent CNN, linear recurrence, rectified recurrence."""
