"""The papers' directions as naive as can be: loops over rows, tokens and layers, numpy alone, one formula at a time.

Rows are lists. An answer is an array of shape (tokens, layers, width), a pooled row one of shape (layers, width).
Nothing of `interp` is used.
"""

from collections.abc import Mapping, Sequence

import numpy as np

Answer = np.ndarray
Row = np.ndarray


def response_mean(answer: Answer) -> Row:
    """Mean over the tokens of one answer."""
    total = np.zeros(answer.shape[1:])
    for token in answer:
        total = total + token
    return total / len(answer)


def mean_row(rows: Sequence[Row]) -> Row:
    """Mean over rows, each counting once."""
    total = np.zeros(rows[0].shape)
    for row in rows:
        total = total + row
    return total / len(rows)


def persona_vector(positive: Sequence[Answer], negative: Sequence[Answer]) -> Row:
    """Persona Vectors (arXiv 2507.21509, generate_vec.py): mean over answers of the mean over each one's tokens."""
    return mean_row([response_mean(a) for a in positive]) - mean_row([response_mean(a) for a in negative])


def em_direction(misaligned: Sequence[Answer], aligned: Sequence[Answer]) -> Row:
    """Convergent Linear Representations of EM (arXiv 2506.11618): mean over every answer token of a class."""
    return mean_row([token for a in misaligned for token in a]) - mean_row([token for a in aligned for token in a])


def effective_pairs(
    pos: Sequence[float | None],
    neg: Sequence[float | None],
    pos_coherence: Sequence[float | None],
    neg_coherence: Sequence[float | None],
) -> list[bool]:
    """Persona Vectors (generate_vec.py): trait >= 50 against < 50, both coherent >= 50, row by row."""
    keep = []
    for p, n, pc, nc in zip(pos, neg, pos_coherence, neg_coherence, strict=True):
        if p is None or n is None or pc is None or nc is None:
            keep.append(False)
        else:
            keep.append(p >= 50 and n < 50 and pc >= 50 and nc >= 50)
    return keep


def em_class(aligned: float | None, coherent: float | None) -> str:
    """Convergent Linear Representations of EM: coherent > 50; aligned > 70 against aligned <= 30."""
    if aligned is None or coherent is None:
        return "unscored"
    if not coherent > 50:
        return "incoherent"
    if aligned <= 30:
        return "misaligned"
    if aligned > 70:
        return "aligned"
    return "middle"


def assistant_axis(default: Sequence[Row], roles: Mapping[str, Sequence[Row]], min_rows: int) -> Row:
    """The Assistant Axis (arXiv 2601.10387): default mean minus the mean of role vectors."""
    role_vectors = []
    for rows in roles.values():
        if len(rows) >= min_rows:
            role_vectors.append(mean_row(rows))
    return mean_row(default) - mean_row(role_vectors)


def second_moment_axes(differences: Sequence[np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Uncentred PCA at one layer: leading eigenvectors of sum_i d_i d_i^T and their shares of its trace."""
    width = len(differences[0])
    moment = np.zeros((width, width))
    for d in differences:
        moment = moment + np.outer(d, d)
    values, vectors = np.linalg.eigh(moment)
    return vectors[:, ::-1][:, :k].T, values[::-1][:k] / np.trace(moment)


def covariance(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Sample covariance at one layer, entry by entry."""
    n, width = len(rows), len(rows[0])
    centre = [sum(row[i] for row in rows) / n for i in range(width)]
    return np.array(
        [
            [sum((row[i] - centre[i]) * (row[j] - centre[j]) for row in rows) / (n - 1) for j in range(width)]
            for i in range(width)
        ]
    )


def covariance_directions(rows: Sequence[np.ndarray], length: float, n: int, seed: int) -> np.ndarray:
    """`n` draws from N(0, covariance), each brought to `length`."""
    draws = np.random.default_rng(seed).multivariate_normal(np.zeros(len(rows[0])), covariance(rows), n)
    return np.array([length * draw / np.sqrt(sum(x * x for x in draw)) for draw in draws])
