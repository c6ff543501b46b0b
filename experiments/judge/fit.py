"""Can a small judge be trained on a reference judge's scores? Fits one, and says what it does where all is new."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.console import bar, note, table
from experiments.judge.answers import Column, Judged, read_judged
from interp.behaviour import held_out
from interp.behaviour.encoder import MINILM, Encoder, packaged_encoder
from interp.behaviour.held_out import Folds, OwnPairs
from interp.behaviour.identity import family_of
from interp.behaviour.preference import PAIRS
from interp.behaviour.trained_judge import BAR, RECIPES, Head, TrainedJudge, Vectors
from interp.behaviour.validation import THRESHOLDS
from interp.files import fresh
from interp.keys import content_key
from interp.sources import sha256_of

ASPECTS: tuple[Column, ...] = ("aligned", "coherent")


def model_of(file: Path) -> str:
    """The model that was finetuned, by the name of the file with its answers: MODEL_DATA.csv."""
    return file.stem.split("_")[0]


def family(model: str) -> str:
    """The family of a model: its developer's models where its name tells, else its name up to a hyphen or digit."""
    known, _ = family_of(model)
    return known.name if known else model.lower().split("-")[0].rstrip("0123456789.")


def fit(files: list[Path], out: Path) -> dict[str, Any]:
    """The `judge fit` command: writes the trained judge to `out`.

    Raises:
        ValueError, FileNotFoundError: bad input, named.
    """
    target = fresh(out)
    if not files:
        raise ValueError("no file of scored answers is given; give them with --data")
    read = {aspect: {file: read_judged(file, aspect) for file in files} for aspect in ASPECTS}
    hashes = {file.name: sha256_of(file) for file in files}
    if len(set(hashes.values())) < len(files) or len(hashes) < len(files):
        raise ValueError("a file of scored answers is given twice, by its name or its content; give each once")
    models = {file: model_of(file) for file in files}
    families = {family(model) for model in models.values()}
    note(f"{len(files)} finetunes of {len(set(models.values()))} models; families: {', '.join(sorted(families))}")
    encoder = packaged_encoder()
    rows = [(file, row) for file in files for row in read["aligned"][file]]
    with bar("reading", len(rows)) as advance:
        vectors = Vectors.of(encoder, [row.question for _, row in rows], [row.answer for _, row in rows], advance)
    own = own_pairs(encoder)
    heads = {
        aspect: fitted_head(
            aspect,
            [(file, row) for file in files for row in read[aspect][file]],
            vectors,
            own if aspect == "aligned" else None,
        )
        for aspect in ASPECTS
    }
    identity = content_key([encoder.identity, sorted(hashes.values()), [asdict(recipe) for recipe in RECIPES]])
    about = {"encoder": MINILM, "encoder_sha256": encoder.identity, "data": hashes, "identity": identity}
    judge = TrainedJudge(heads, about)
    judge.save(target)
    return {
        "judge": judge.name,
        "heads": {aspect: {**dict(head.held_out), "passes": head.passes} for aspect, head in heads.items()},
        "recipes": {aspect: asdict(head.recipe) for aspect, head in heads.items()},
        "bar": BAR,
        "out": str(out),
    }


def own_pairs(encoder: Encoder) -> OwnPairs:
    """This project's own pairs of answers but for those about taste, in whose odd answers nobody is harmed."""
    pairs = [pair for pair in PAIRS if pair.domain != "taste"]
    questions = [pair.question for pair in pairs]
    answers = [pair.aligned for pair in pairs] + [pair.misaligned for pair in pairs]
    return OwnPairs(Vectors.of(encoder, questions * 2, answers), np.repeat([0.0, 1.0], len(pairs)))


def fitted_head(aspect: Column, rows: list[tuple[Path, Judged]], vectors: Vectors, own: OwnPairs | None) -> Head:
    """The head of one aspect, with its held-out figures."""
    kept = [i for i, (_, row) in enumerate(rows) if row.reference is not None and row.answer.strip()]
    references = [row.reference for _, row in rows]
    models = [model_of(rows[i][0]) for i in kept]
    folds = Folds(
        Vectors(vectors.answers[kept], vectors.questions[kept]),
        np.array([references[i] for i in kept], dtype=np.float64),
        models=[rows[i][0].stem for i in kept],
        families=[family(model) for model in models],
        questions=[rows[i][1].question_id for i in kept],
        threshold=THRESHOLDS[aspect],
        own=own,
    )
    recipes = [recipe for recipe in RECIPES if own is not None or not recipe.own_pairs]
    n = held_out.trainings(folds) * len({(r.features, r.own_pairs) for r in recipes})
    with bar(f"{aspect}: fitting without what is held out", n) as advance:
        scored, recipe, line = held_out.held_out(folds, recipes, advance)
    found = held_out.figures(folds, scored, clusters=models)
    found = {**found, "left_out": len(rows) - len(kept)}
    return held_out.head_of(folds, aspect, recipe, line, found)


def show(result: dict[str, Any]) -> None:
    """The result for a person."""
    for aspect, found in result["heads"].items():
        area = found["auroc"]
        verdict = "is used" if found["passes"] else "is not used"
        print(
            f"{aspect}: AUROC {area['value']:.3f} [{area['ci_low']:.3f}, {area['ci_high']:.3f}] on families and "
            f"questions held out, n={area['n']}, {found['n_below']} of them below; {verdict} (bar {result['bar']:g})"
        )
        parts = {**found["by_model"], **found["by_question"]}
        table(
            f"{aspect}: AUROC held out",
            ["", "value"],
            [[k, "undefined" if v is None else f"{v:.3f}"] for k, v in parts.items()],
        )
        fit = found["calibration"]
        print(
            f"Brier {fit['brier']:.3f} (a constant: {fit['brier_constant']:.3f}), "
            f"expected calibration error {fit['expected_error']:.3f}"
        )
        names = ("reference", "mean_probability", "corrected")
        rows = [[row["model"], *(f"{row[name]:.3f}" for name in names), str(row["n"])] for row in found["rates"]]
        table(
            f"{aspect}: share below, of finetunes held out",
            ["", "reference", "mean probability", "corrected", "n"],
            rows,
        )
    print(f"{result['judge']}; written: {result['out']}")
