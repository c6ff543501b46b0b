"""How far rows spread in the residual stream, and over how many dimensions."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import t as student
from torch import Tensor

from interp import stats
from interp.projection import cluster_numbers, require_finite
from interp.stats import Estimate

MOST_GROUPS = 50  # of clusters that the jackknife leaves out one after another


@dataclass(frozen=True)
class Dispersion:
    """How far rows spread and over how many dimensions; or, from `dispersion_ratio`, ratios of these.

    Attributes:
        total_variance: Trace of the sample covariance; squared units of the residual stream.
        participation_ratio: (sum of eigenvalues)^2 / sum of their squares. Source: Gao et al. 2017 (bioRxiv 214262).
        entropy_rank: exp of the entropy of the eigenvalues' shares. Source: Roy & Vetterli 2007 (EUSIPCO), effective
            rank, here of the covariance matrix, whose singular values are its eigenvalues.
        n_rows: Rows; the estimates' n counts clusters.
    """

    total_variance: Estimate
    participation_ratio: Estimate
    entropy_rank: Estimate
    n_rows: int


def dispersion(h: Float[Tensor, "row d_model"], clusters: Sequence[Hashable] | None = None) -> Dispersion:
    """Total variance and effective ranks of rows, each row counting once, with jackknife intervals over clusters.

    Clusters are left out one after another (in at most 50 groups, dealt out in turn), and the interval is symmetric on
    the log scale. A bootstrap would not do: repeated rows lower the effective rank. Effective ranks grow with the
    number of rows, so compare only equal numbers (`dispersion_ratio`). They are undefined for rows that are all alike.

    Raises:
        ValueError: there are fewer than 2 rows, or not one cluster a row.
        InterpError: a row holds a value that is not finite.
    """
    return Dispersion(*_jackknife(*_left_out(h, clusters)), n_rows=len(h))


def dispersion_ratio(
    stage: Float[Tensor, "row d_model"],
    parent: Float[Tensor, "row d_model"],
    clusters: Sequence[Hashable] | None = None,
) -> Dispersion:
    """Dispersion of a stage over that of its parent, paired over the same prompts (the same clusters are left out).

    Raises:
        ValueError: the numbers of rows differ, or as for `dispersion`.
        InterpError: a row holds a value that is not finite.
    """
    if len(stage) != len(parent):
        raise ValueError(
            f"effective rank grows with the number of rows: got {len(stage)} against {len(parent)}; "
            "compare answers to the same prompts, as many of each"
        )
    (of_stage, n), (of_parent, _) = _left_out(stage, clusters), _left_out(parent, clusters)
    return Dispersion(*_jackknife(of_stage - of_parent, n), n_rows=len(stage))


def _left_out(
    h: Float[Tensor, "row d_model"], clusters: Sequence[Hashable] | None
) -> tuple[Float[np.ndarray, "draw measure"], int]:
    """Logarithms of the three measures of all rows (first), then without each group of clusters; number of clusters."""
    require_finite(h, "h")
    if len(h) < 2:
        raise ValueError(f"dispersion needs at least 2 rows, got {len(h)}")
    cluster = cluster_numbers(clusters, len(h))
    n = int(cluster.max()) + 1
    group = cluster % MOST_GROUPS
    x = h.double() - h.double().mean(0)
    everything = _log_measures(x)
    if len(x) < x.shape[1]:
        x = torch.linalg.qr(x.T, mode="r").R.T  # the same rows in as many coordinates as there are rows
    left_out = [_log_measures(x[group != g]) for g in range(min(n, MOST_GROUPS))]
    return np.stack([everything, *left_out]), n


def _log_measures(x: Float[Tensor, "row d_model"]) -> Float[np.ndarray, " measure"]:
    """Logarithms of total variance, participation ratio and entropy rank; the smaller of Gram and scatter matrix."""
    if len(x) < 2:
        return np.full(3, np.nan)
    x = x - x.mean(0)
    square = x @ x.T if len(x) < x.shape[1] else x.T @ x
    eigenvalues = torch.linalg.eigvalsh(square / (len(x) - 1)).clamp_min(0)
    total = eigenvalues.sum()
    shares = eigenvalues / total  # not numbers if the rows are all alike
    return torch.stack([total.log(), -shares.square().sum().log(), torch.special.entr(shares).sum()]).numpy()


def _jackknife(logs: Float[np.ndarray, "draw measure"], n: int) -> list[Estimate]:
    """Estimates from the first row of logarithms, with intervals from the others."""
    estimates = []
    for value, others in zip(np.exp(logs[0]), logs[1:].T, strict=True):
        if not np.isfinite(value):
            estimates.append(Estimate(None, None, None, n))
        elif len(others) < 2 or not np.isfinite(others).all():
            estimates.append(Estimate(float(value), None, None, n))
        else:
            error = np.sqrt((len(others) - 1) * others.var())
            factor = float(np.exp(student.ppf(0.5 + stats.LEVEL / 2, len(others) - 1) * error))
            estimates.append(Estimate(float(value), float(value / factor), float(value * factor), n))
    return estimates
