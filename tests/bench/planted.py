"""Do the verdicts tell planted truths? Finetunes made by hand whose effect is known, over many random models.

    python tests/bench/planted.py [--repetitions 50] [--json FILE]

For each world and hypothesis: how often it came out supported, contradicted, undecided. `!` marks what should not have
come out (a planted effect that is not supported, or one that is not there and is).
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
HYPOTHESES = ("H1", "H2", "H3a", "H3b", "H4a")
VERDICTS = ("supported", "contradicted", "undecided")


def main() -> None:
    from experiments.hypotheses.superseded.claims import verdicts
    from tests.support.planted import WORLDS, write_run

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=50)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'world':28}" + "".join(f"{name:>22}" for name in HYPOTHESES) + "   (" + " / ".join(VERDICTS) + ")")
    found = []
    for world in WORLDS:
        start, counts = time.monotonic(), {name: Counter() for name in HYPOTHESES}
        for seed in range(asked.repetitions):
            with tempfile.TemporaryDirectory() as folder:
                rows = verdicts(write_run(Path(folder), seed, world.truth, undone=world.undone))
            for row in rows:
                if row["hypothesis"] in counts:
                    counts[row["hypothesis"]][row["verdict"]] += 1
                elif row["verdict"] != "undecided":
                    raise SystemExit(f"{row['hypothesis']} was decided without a row of it: {row['why']}")
        cells = []
        for name in HYPOTHESES:
            wrong = counts[name]["supported"] != (asked.repetitions if name in world.supported else 0)
            cells.append(" / ".join(str(counts[name][verdict]) for verdict in VERDICTS) + (" !" if wrong else "  "))
        print(f"{world.name:28}" + "".join(f"{cell:>22}" for cell in cells), flush=True)
        seconds = (time.monotonic() - start) / asked.repetitions
        found.append({"world": world.name, "counts": counts, "seconds_a_repetition": round(seconds, 2)})
    print(
        f"n = {asked.repetitions} random models a world; " + ", ".join(f"{x['seconds_a_repetition']} s" for x in found)
    )
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
