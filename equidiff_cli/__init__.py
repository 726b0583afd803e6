"""EquiDiff: sample pictures that a neural network cannot tell apart."""

__version__ = "0.1.0"
