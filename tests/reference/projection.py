"""What projections, displacements and their spread are, written as plainly as can be: loops, lists of numbers, numpy.

Sources: projection and projection difference, Persona Vectors (arXiv 2507.21509); effective rank, Roy & Vetterli 2007
(EUSIPCO); Spearman-Brown, 1910; Bonett & Wright 2000 (Psychometrika 65). Nothing of `interp` is used.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

Vector = Sequence[float] | np.ndarray
Rows = Sequence[Vector] | np.ndarray


def dot(a: Vector, b: Vector) -> float:
    return math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def length(a: Vector) -> float:
    return math.sqrt(dot(a, a))


def mean_of(rows: Rows) -> list[float]:
    return [math.fsum(float(x) for x in column) / len(rows) for column in zip(*rows, strict=True)]


def minus(a: Vector, b: Vector) -> list[float]:
    return [float(x) - float(y) for x, y in zip(a, b, strict=True)]


def projection(h: Vector, v: Vector) -> float:
    """(h . v) / |v|"""
    return dot(h, v) / length(v)


def projection_difference(training: Rows, own: Rows, v: Vector) -> float:
    """Mean projection of training answers minus mean projection of the model's own answers."""
    theirs = math.fsum(projection(h, v) for h in training) / len(training)
    ours = math.fsum(projection(h, v) for h in own) / len(own)
    return theirs - ours


def by_cluster(rows: Rows, clusters: Sequence[object]) -> list[list[float]]:
    """Mean row of each cluster."""
    return [
        mean_of([row for row, its in zip(rows, clusters, strict=True) if its == cluster])
        for cluster in dict.fromkeys(clusters)
    ]


def spread_about_zero(values: Vector) -> float:
    return math.sqrt(math.fsum(float(x) ** 2 for x in values) / len(values))


def percentile_among(value: float, nulls: Vector) -> float:
    return 100 * sum(1.0 if x < value else 0.5 if x == value else 0.0 for x in nulls) / len(nulls)


def span_share(x: Vector, directions: Rows) -> float:
    """One minus the squared length that the best combination of the directions leaves over."""
    columns = np.array([[c / length(d) for c in d] for d in directions]).T
    best = np.linalg.lstsq(columns, np.array(x), rcond=None)[0]
    left = np.array(x) - columns @ best
    return 1 - dot(left, left) / dot(x, x)


def product_of_different(a: Rows, b: Rows) -> float:
    """Mean inner product of a row of one with another row of the other."""
    pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if i != j]
    return math.fsum(dot(a[i], b[j]) for i, j in pairs) / len(pairs)


def split_half_reliability(rows: Rows) -> float:
    """Over every split in halves: product of the halves' means over their squared length, stepped up to all rows."""
    halves = list(combinations(range(len(rows)), len(rows) // 2))
    products, squares = [], []
    for half in halves:
        one = mean_of([rows[i] for i in half])
        other = mean_of([rows[i] for i in range(len(rows)) if i not in half])
        products.append(dot(one, other))
        squares.append(dot(one, one))
    r = math.fsum(products) / math.fsum(squares)
    return 2 * r / (1 + r)


def cosine(a: Vector, b: Vector) -> float:
    return dot(a, b) / (length(a) * length(b))


def noiseless_cosine(a: Rows, b: Rows) -> float:
    """Cosine of the means with products of a row with itself left out everywhere."""
    return product_of_different(a, b) / math.sqrt(product_of_different(a, a) * product_of_different(b, b))


def spread(rows: Rows) -> tuple[float, float, float]:
    """Trace, participation ratio and effective rank of the covariance matrix."""
    eigenvalues = [max(0.0, float(x)) for x in np.linalg.eigvalsh(np.cov(np.array(rows, dtype=np.float64).T))]
    trace = math.fsum(eigenvalues)
    ratio = trace**2 / math.fsum(x**2 for x in eigenvalues)
    shares = [x / trace for x in eigenvalues]
    return trace, ratio, math.exp(-math.fsum(p * math.log(p) for p in shares if p > 0))


def pearson(x: Vector, y: Vector) -> float:
    dx, dy = ([float(a) - math.fsum(z) / len(z) for a in z] for z in (list(map(float, x)), list(map(float, y))))
    return dot(dx, dy) / (length(dx) * length(dy))


def ranks(x: Vector) -> list[float]:
    """From 1; equal values share the mean of their places."""
    return [sum(other < a for other in x) + (sum(other == a for other in x) + 1) / 2 for a in x]


def spearman(x: Vector, y: Vector) -> float:
    return pearson(ranks(x), ranks(y))


def fisher_interval(r: float, n: int, ranked: bool) -> tuple[float, float]:
    """95 % interval on the scale of the inverse hyperbolic tangent."""
    error = math.sqrt((1 + r * r / 2) / (n - 3)) if ranked else math.sqrt(1 / (n - 3))
    z = 1.959963984540054
    return math.tanh(math.atanh(r) - z * error), math.tanh(math.atanh(r) + z * error)
