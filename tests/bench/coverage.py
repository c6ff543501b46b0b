"""Do the 95 % intervals cover 95 %? Simulated data with a known truth, at least 1,000 repetitions a line.

Beside each interval that the toolkit uses (*) stand simpler ones that it does not, on the same data. Questions and
seeds are random: the truth is the mean over all of them. Counts come from a Gaussian copula (a latent normal with a
share of its variance between questions and between seeds), so that a share is what it says; `icc` is the latent share.

    python tests/bench/coverage.py [--repetitions 1000] [--only share] [--json FILE]

Prints a table: realised coverage, how often the interval lay wholly above and below the truth, mean width. Monte Carlo
error of a coverage of .95 from 1,000 repetitions: +-.014. The last tables are powers and false-positive rates.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from scipy.special import ndtr, ndtri

from interp import stats
from interp.comparisons import Arm, equivalence, paired_difference, share_difference
from interp.power import minimum_detectable_effect, minimum_detectable_share
from interp.resampling import Permutation, bootstrap, crossed_bootstrap, label_permutation, sign_flip
from interp.stats import Estimate

Draw = Callable[[np.random.Generator], Any]
Methods = dict[str, Callable[[Any], Estimate]]


@dataclass(frozen=True)
class Case:
    """One line of the table for each method."""

    section: str
    name: str
    truth: float
    draw: Draw
    methods: Methods


@dataclass(frozen=True)
class Table:
    """Labels of a balanced table of questions, seeds and answers."""

    n_questions: int
    n_seeds: int = 1
    n_answers: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.n_questions, self.n_seeds, self.n_answers

    @property
    def questions(self) -> np.ndarray:
        return np.indices(self.shape)[0].ravel()

    @property
    def seeds(self) -> np.ndarray | None:
        return None if self.n_seeds == 1 else np.indices(self.shape)[1].ravel()

    def __str__(self) -> str:
        seeds = f" x {self.n_seeds} seeds" if self.n_seeds > 1 else ""
        return f"{self.n_questions} questions{seeds} x {self.n_answers}"


def normal(table: Table, sds: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Rows of mean 0 with these standard deviations between questions, seeds and answers."""
    of_questions, of_seeds, of_answers = (
        sd * rng.normal(size=shape)
        for sd, shape in zip(sds, ((table.n_questions, 1, 1), (1, table.n_seeds, 1), table.shape), strict=True)
    )
    return (of_questions + of_seeds + of_answers).ravel()


def answers(
    table: Table,
    p: float,
    icc: tuple[float, float],
    rng: np.random.Generator,
    question_normals: np.ndarray | None = None,
) -> np.ndarray:
    """Rows that are right with probability p, with these latent shares between questions and between seeds."""
    z = rng.normal(size=table.n_questions) if question_normals is None else question_normals
    latent = np.sqrt(icc[0]) * z[:, None, None] + np.sqrt(icc[1]) * rng.normal(size=(1, table.n_seeds, 1))
    rate = ndtr((ndtri(p) - latent) / np.sqrt(1 - sum(icc)))
    return (rng.random(table.shape) < rate).ravel()


def two_arms(table: Table, p: tuple[float, float], icc: tuple[float, float], rho: float, rng: np.random.Generator):
    """Two arms on the same questions, whose effects have correlation rho; seeds share nothing."""
    z = rng.normal(size=(2, table.n_questions))
    second = rho * z[0] + np.sqrt(1 - rho**2) * z[1]
    return tuple(
        Arm(answers(table, share, icc, rng, of_questions), table.questions, table.seeds)
        for share, of_questions in zip(p, (z[0], second), strict=True)
    )


def percentile_bootstrap(x: np.ndarray, table: Table, draws: int = 400) -> Estimate:
    """Quantiles of the mean over questions and seeds drawn with replacement, both ways."""
    cells = x.reshape(table.shape).mean(2)
    rng = np.random.default_rng(0)
    weights = [rng.multinomial(n, np.full(n, 1 / n), size=draws) / n for n in cells.shape]
    low, high = np.quantile(np.einsum("dq,qs,ds->d", weights[0], cells, weights[1]), [0.025, 0.975])
    return Estimate(float(cells.mean()), float(low), float(high), table.n_questions)


def seed_means(x: np.ndarray, table: Table) -> Estimate:
    return stats.mean(x.reshape(table.shape).mean((0, 2)))


def independent() -> Iterator[Case]:
    for p in (0.005, 0.02, 0.1):
        for n in (50, 200, 800):
            yield Case(
                "independent",
                f"p {p}, n {n}",
                p,
                lambda rng, p=p, n=n: rng.random(n) < p,
                {"* proportion (Wilson)": lambda x: stats.proportion(float(x.mean()), len(x)), "t": stats.mean},
            )


def share_methods(table: Table) -> Methods:
    methods: Methods = {
        "* share": lambda x: stats.share(x, table.questions, table.seeds),
        "Wilson, rows": lambda x: stats.proportion(float(x.mean()), len(x)),
    }
    if table.n_seeds == 1:
        return methods | {"t, questions": lambda x: stats.clustered_mean(x, table.questions)}
    return methods | {
        "crossed_mean": lambda x: stats.crossed_mean(x, table.questions, table.seeds),
        "t, seeds": partial(seed_means, table=table),
    }


def clustered() -> Iterator[Case]:
    tables = [Table(10, 1, 5), Table(50, 1, 4), Table(20, 1, 10), Table(50, 1, 16), Table(8, 1, 100)]
    for p in (0.005, 0.02, 0.1, 0.3):
        for table in tables:
            for icc in (0.0, 0.2, 0.5):
                draw = partial(answers, table, p, (icc, 0.0))
                yield Case("share", f"p {p}, {table}, icc {icc}", p, draw, share_methods(table))


def crossed_shares() -> Iterator[Case]:
    for n_seeds in (3, 5):
        for n_questions in (20, 50):
            table = Table(n_questions, n_seeds, 5)
            for p in (0.005, 0.02, 0.1, 0.3):
                for icc in ((0.0, 0.0), (0.3, 0.05), (0.3, 0.2)):
                    name = f"p {p}, {table}, icc {icc[0]}/{icc[1]}"
                    yield Case("crossed share", name, p, partial(answers, table, p, icc), share_methods(table))


def crossed_methods(table: Table) -> Methods:
    return {
        "* crossed_mean": lambda x: stats.crossed_mean(x, table.questions, table.seeds),
        "t, questions": lambda x: stats.clustered_mean(x, table.questions),
        "t, seeds": partial(seed_means, table=table),
        "percentile bootstrap": partial(percentile_bootstrap, table=table),
    }


SDS = ((1.0, 0.0, 1.0), (1.0, 0.1, 1.0), (1.0, 0.3, 1.0), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0), (0.0, 0.3, 1.0))


def crossed() -> Iterator[Case]:
    for n_seeds in (2, 3, 5):
        for n_questions in (20, 50):
            table = Table(n_questions, n_seeds)
            for sds in SDS:
                name = f"{table}, sd {'/'.join(map(str, sds))}"
                yield Case("crossed mean", name, 0.0, partial(normal, table, sds), crossed_methods(table))


def paired() -> Iterator[Case]:
    tables = [Table(50), Table(200), Table(8, 1, 50), Table(50, 1, 10), Table(20, 3, 5), Table(50, 5, 5)]
    methods: Methods = {"* share_difference": lambda x: share_difference(*x), "t": lambda x: paired_difference(*x)}
    for p in ((0.005, 0.005), (0.02, 0.02), (0.1, 0.02), (0.5, 0.4)):
        for table in tables:
            for icc, rho in (((0.0, 0.0), 0.0), ((0.4, 0.05), 0.8)):
                icc = (icc[0], icc[1] if table.n_seeds > 1 else 0.0)
                name = f"p {p[0]} and {p[1]}, {table}, icc {icc[0]}/{icc[1]}"
                yield Case("paired shares", name, p[0] - p[1], partial(two_arms, table, p, icc, rho), methods)


def paired_means() -> Iterator[Case]:
    """Differences of two arms with their own seeds; what questions share between arms has cancelled."""

    def draw(table: Table, sds: tuple[float, float, float], rng: np.random.Generator) -> tuple[Arm, Arm]:
        shared = rng.normal(size=(table.n_questions, 1, 1)) * np.ones(table.shape)
        arms = (normal(table, sds, rng) + shared.ravel() for _ in range(2))
        return tuple(Arm(x, table.questions, table.seeds) for x in arms)  # type: ignore[return-value]

    methods: Methods = {
        "* paired_difference": lambda x: paired_difference(*x),
        "t, questions": lambda x: stats.clustered_mean(x[0].values - x[1].values, x[0].questions),
    }
    for table in (Table(20), Table(50), Table(20, 3), Table(50, 3), Table(20, 5), Table(50, 5)):
        for sds in ((0.5, 0.0, 1.0), (0.5, 0.3, 1.0)):
            unseen = " (one seed: nothing can show that they vary)" if table.n_seeds == 1 and sds[1] else ""
            name = f"{table}, sd {'/'.join(map(str, sds))}{unseen}"
            yield Case("paired means", name, 0.0, partial(draw, table, sds), methods)


def resampled() -> Iterator[Case]:
    for n in (20, 50):
        yield Case(
            "bootstrap",
            f"mean of {n} exponentials",
            1.0,
            lambda rng, n=n: rng.exponential(size=n),
            {
                "* BCa": lambda x: bootstrap(x, np.mean, resamples=500),
                "percentile": lambda x: bootstrap(x, np.mean, method="percentile", resamples=500),
                "t": stats.mean,
            },
        )
    for table in (Table(20, 3, 2), Table(20, 5, 2)):
        for sds in ((1.0, 0.0, 1.0), (1.0, 0.3, 1.0)):
            yield Case(
                "bootstrap",
                f"mean, {table}, sd {'/'.join(map(str, sds))}",
                0.0,
                partial(normal, table, sds),
                {
                    "* crossed_bootstrap": lambda x, table=table: crossed_bootstrap(
                        x, table.questions, table.seeds, np.mean, resamples=100
                    ),
                    "percentile bootstrap": partial(percentile_bootstrap, table=table),
                },
            )


SECTIONS: dict[str, Callable[[], Iterator[Case]]] = {
    "independent": independent,
    "share": clustered,
    "crossed share": crossed_shares,
    "crossed mean": crossed,
    "paired shares": paired,
    "paired means": paired_means,
    "bootstrap": resampled,
}


def lines(case: Case, repetitions: int) -> list[dict[str, Any]]:
    """Coverage of each method of a case."""
    ends: dict[str, list[tuple[float, float]]] = {name: [] for name in case.methods}
    for repetition in range(repetitions):
        data = case.draw(np.random.default_rng([repetition, crc32(case.name.encode())]))
        for name, method in case.methods.items():
            found = method(data)
            ends[name].append((np.nan, np.nan) if found.ci_low is None else (found.ci_low, found.ci_high))
    rows = []
    for name, pairs in ends.items():
        low, high = np.array(pairs).T
        row = {
            "covered": np.mean((low <= case.truth + 1e-12) & (case.truth - 1e-12 <= high)),
            "above": np.mean(low > case.truth + 1e-12),
            "below": np.mean(high < case.truth - 1e-12),
            "width": np.nanmean(high - low),
        }
        named = {"section": case.section, "case": case.name, "method": name, "repetitions": repetitions}
        rows.append(named | {key: round(float(x), 4) for key, x in row.items()})
    return rows


def rates(repetitions: int) -> list[dict[str, Any]]:
    """Power at the minimum detectable effect (nominal .8) and false positives of tests (nominal .05 at most)."""
    found = []

    def rate(name: str, nominal: float, draw: Draw) -> None:
        hits = np.mean([draw(np.random.default_rng([r, crc32(name.encode())])) for r in range(repetitions)])
        row = {"section": "rates", "case": name, "nominal": nominal, "rate": round(float(hits), 3)}
        found.append(row | {"repetitions": repetitions})

    for table in (Table(50), Table(50, 3), Table(50, 5)):
        sds = (0.5, 0.1 if table.n_seeds > 1 else 0.0, 1.0)
        names = ("sd_questions", "sd_seeds", "sd_answers")
        sizes = {"n_questions": table.n_questions, "n_seeds": table.n_seeds}
        effect = minimum_detectable_effect(**sizes, **dict(zip(names, sds, strict=True))).effect or 0.0

        def excludes(rng: np.random.Generator, table: Table = table, effect: float = effect, sds=sds) -> bool:
            x = normal(table, sds, rng) + effect
            return (stats.crossed_mean(x, table.questions, table.seeds).ci_low or 0) > 0

        rate(f"power of crossed_mean at its effect {effect:.3f}, {table}", 0.8, excludes)
    for base, table in ((0.02, Table(50, 1, 20)), (0.2, Table(50, 1, 20)), (0.2, Table(200)), (0.2, Table(50, 5, 20))):
        icc = (0.1, 0.005 if table.n_seeds > 1 else 0.0)
        sizes = dict(zip(("n_questions", "n_seeds", "n_answers"), table.shape, strict=True))
        effect = minimum_detectable_share(base, **sizes, icc_questions=icc[0], icc_seeds=icc[1]).effect or 0.0

        def rises(rng: np.random.Generator, table: Table = table, base=base, effect=effect, icc=icc) -> bool:
            arms = []
            for p in (base + effect, base):
                scale = (1 - icc[0]) / icc[0]
                of_questions = rng.beta(p * scale, (1 - p) * scale, size=(table.n_questions, 1, 1))
                of_seeds = np.sqrt(icc[1] * p * (1 - p)) * rng.normal(size=(1, table.n_seeds, 1))
                right = rng.random(table.shape) < of_questions + of_seeds
                arms.append(Arm(right.ravel(), table.questions, table.seeds))
            return (share_difference(*arms).ci_low or 0) > 0

        rate(f"power of share_difference, {base} to {base + effect:.3f}, {table}", 0.8, rises)
    rate("sign_flip, 8 heavy-tailed", 0.05, lambda rng: significant(sign_flip(rng.standard_t(3, size=8))))
    rate(
        "sign_flip, 50 heavy-tailed",
        0.05,
        lambda rng: significant(sign_flip(rng.standard_t(3, size=50), resamples=499)),
    )
    rate(
        "label_permutation, 6 and 9 exponentials",
        0.05,
        lambda rng: significant(label_permutation(rng.exponential(size=6), rng.exponential(size=9))),
    )
    for table in (Table(50), Table(20, 5)):

        def equivalent(rng: np.random.Generator, table: Table = table) -> bool:
            x = normal(table, (0.3, 0.0, 0.3), rng) + 0.2
            found = equivalence(
                lambda level: stats.crossed_mean(x, table.questions, table.seeds, level=level), margin=0.2
            )
            return found.p_equivalent is not None and found.p_equivalent < 0.05

        rate(f"equivalence, effect at the margin, {table}", 0.05, equivalent)
    return found


def significant(found: Permutation) -> bool:
    return found.p is not None and found.p <= 0.05


def show(rows: Sequence[dict[str, Any]]) -> None:
    """The rows as a table in Markdown."""
    columns = [key for key in rows[0] if key not in ("section", "repetitions")]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print(
            "| " + " | ".join(f"{row[key]:.3f}" if isinstance(row[key], float) else row[key] for key in columns) + " |"
        )


def main() -> None:
    """Print every table, and keep the numbers if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--only", choices=[*SECTIONS, "rates"], default=None)
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args()
    kept: list[dict[str, Any]] = []
    for section, cases in SECTIONS.items():
        if asked.only in (None, section):
            rows = [row for case in cases() for row in lines(case, asked.repetitions)]
            print(f"\n## {section}, {asked.repetitions} repetitions each\n")
            show(rows)
            kept += rows
    if asked.only in (None, "rates"):
        print(f"\n## rates, {asked.repetitions} repetitions each\n")
        rows = rates(asked.repetitions)
        show(rows)
        kept += rows
    if asked.json is not None:
        asked.json.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
