"""Anticipation geometry: the states of a conversation so far → seven scalars and a regime.

A reading is taken at the last step of a path that ends before the reply, so it cannot know the reply. `measure`
reads one path, `prefixes` every prefix of a conversation in one pass, `Trajectory` a conversation that goes on: all
three through the same steps (`steps`) and the same last step (`last`), so that they agree to the last bit.

In the names of arrays: T turns or steps, D dimensions, W positions of a window, N windows, C earlier states that a
step compares, K nearest of them, P pairs of those. float64, logarithms of base 2, Euclidean norms. Sums are numpy's
own and never BLAS, whose last bits differ between machines.
"""

from twin.geometry.prefixes import measure, prefixes
from twin.geometry.reading import REGIMES, Reading
from twin.geometry.trajectory import Trajectory

__all__ = ["REGIMES", "Reading", "Trajectory", "measure", "prefixes"]
