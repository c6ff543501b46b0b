"""What a run has stored, as the page shows it beside new answers: stages, directions, verdicts, figures, answers."""

from pathlib import Path
from typing import Any

from experiments.open.run import OpenRun, label_of
from experiments.report.figures import titles
from experiments.report.tables import MISSING, interval_of, short
from interp.interventions import PHASES

MOST_PROMPTS = 500
MOST_ANSWERS = 200


class Stored:
    """A run's stored results, as values that are JSON."""

    def __init__(self, opened: OpenRun) -> None:
        self.opened, self.run = opened, opened.run
        self._by_prompt: dict[str, list[dict[str, Any]]] = {}
        for row in self.run.answers:
            self._by_prompt.setdefault(row["prompt"], []).append(row)

    def description(self) -> dict[str, Any]:
        """Everything that the page shows before anything is asked."""
        opened, study, model = self.opened, self.run.study, self.opened.model
        where = str(model.device)
        return {
            "name": str(study.get("name") or self.run.path.name),
            "question": str(study.get("question") or ""),
            "path": str(self.run.path),
            "model": f"{model.name}, {model.n_layers} layers, {str(model.dtype).removeprefix('torch.')} on {where}",
            "n_layers": model.n_layers,
            "stages": [
                {"label": stage.label, "gone": opened.why_gone(stage), "adapters": len(stage.adapters)}
                for stage in opened.stages.values()
            ],
            "directions": [
                {
                    "name": direction.name,
                    "layer": direction.layer,
                    "layers": list(direction.layers),
                    "norms": [round(float(v.norm()), 4) for v in direction.vectors],
                }
                for direction in opened.directions.values()
            ],
            "phases": list(PHASES),
            "prompts": [[prompt, rows[0].get("trait")] for prompt, rows in self._by_prompt.items()][:MOST_PROMPTS],
            "verdicts": [self._verdict(row) for row in self.run.verdicts],
            "figures": [{"name": name, "title": title} for name, title in self._figures().items()],
        }

    def answers(self, prompt: str) -> dict[str, Any]:
        """What the stages of the study said to a prompt, at most `MOST_ANSWERS`; none where it was not asked."""
        rows = self._by_prompt.get(prompt, [])
        said = [
            {
                "stage": label_of(row, "stage"),
                "text": row["text"],
                "degenerate": bool(row.get("degenerate")),
                "system": row.get("system_prompt") or "",
            }
            for row in rows[:MOST_ANSWERS]
        ]
        return {"prompt": prompt, "answers": said, "left_out": max(0, len(rows) - MOST_ANSWERS)}

    def figure(self, name: str) -> Path | None:
        """The file of a figure that `description` lists; None for any other name."""
        return self.run.path / "figures" / f"{name}.svg" if name in self._figures() else None

    def _figures(self) -> dict[str, str]:
        """The title of every figure that the run folder has."""
        known, folder = titles(), self.run.path / "figures"
        present = {file.stem for file in folder.glob("*.svg")}
        ordered = [name for name in known if name in present] + sorted(present - known.keys())
        return {name: known.get(name, name.replace("_", " ")) for name in ordered}

    def _verdict(self, row: dict[str, Any]) -> dict[str, str]:
        return {
            "id": str(row.get("hypothesis") or MISSING),
            "title": str(row.get("title") or ""),
            "statement": str(row.get("statement") or ""),
            "verdict": str(row.get("verdict") or MISSING),
            "effect": f"{short(row.get('effect'), signed=True)} {interval_of(row)}".strip(),
            "unit": str(row.get("unit") or ""),
            "n": MISSING if row.get("n") is None else str(row["n"]),
            "why": str(row.get("why") or ""),
        }
