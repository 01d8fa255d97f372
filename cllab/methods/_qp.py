"""The quadratic programs of gradient projection, solved on their small Gram matrices in plain NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def nonnegative(p: Array, c: Array, *, tolerance: float = 1e-10) -> Array:
    """argmin_u u'Pu / 2 + c'u with u >= 0, by Lawson and Hanson's active set in its Gram form.

    p: (n, n) symmetric and positive definite; c: (n,). The active set grows by the most violated variable and steps
    back to the border where a solution on it leaves the quadrant; each set is met at most once, so it ends.
    """
    n = len(c)
    u = np.zeros(n)
    free = np.zeros(n, bool)
    scale = tolerance * max(1.0, float(np.abs(c).max(initial=0.0)))
    for _ in range(30 * max(n, 1)):
        slope = -(p @ u + c)
        slope[free] = -np.inf
        if n == 0 or slope.max() <= scale:
            return u
        free[int(slope.argmax())] = True
        while True:
            wanted = np.zeros(n)
            wanted[free] = np.linalg.solve(p[np.ix_(free, free)], -c[free])
            if not free.any() or wanted[free].min() > 0:
                u = wanted
                break
            leaving = free & (wanted <= 0)
            share = float(np.min(u[leaving] / np.maximum(u[leaving] - wanted[leaving], 1e-300)))
            u = u + share * (wanted - u)
            free &= u > scale * 1e-6
            u[~free] = 0.0
    return u


def dual(gram: Array, products: Array, margin: float, ridge: float) -> Array:
    """The multipliers v of GEM's projection: argmin v'(G G' + ridge I)v / 2 + (G g)'v with v >= margin.

    gram: (t, t) G G' of the past gradients; products: (t,) G g with the current one. The projection is g + G'v.
    """
    p = (gram + gram.T) / 2 + ridge * np.eye(len(gram))
    return margin + nonnegative(p, products + margin * p.sum(axis=1))
