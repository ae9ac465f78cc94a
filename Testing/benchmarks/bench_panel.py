"""How long each action in the panel holds up 3D Slicer, with a real worker that has a tiny bundle.

For each action the longest processor time of the main thread between two turns of the event loop (budget: 100 ms), and how
often the event loop had a turn. What the worker does costs the main thread nothing, and what other programs take from the
processor hardly anything; of several rounds the best counts. Needs what ``pip install -e ".[slicer-test]"`` installs.

    .venv/bin/python Testing/benchmarks/bench_panel.py [--size 512 512 200] [--rounds 3] [--float]
"""

import argparse
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "slicer"), str(ROOT / "Testing")]
sys.path.append(str(ROOT / "TumorSynth"))

import harness  # noqa: E402

BUDGET_MILLISECONDS = 100


def main() -> int:
    """Measure every action and print a Markdown table."""
    options = parse(sys.argv[1:])
    if missing := harness.missing():
        print(missing, file=sys.stderr)
        return 1
    harness.boot()
    rounds = [measured(tuple(options.size), np.float32 if options.float else np.int16) for _ in range(options.rounds)]
    print(f"| action | longest step, ms (budget {BUDGET_MILLISECONDS}) | turns of the event loop |\n|---|---|---|")
    for action in rounds[0]:
        work, turns = min(one[action] for one in rounds)
        print(f"| {action} | {1000.0 * work:.0f} | {turns} |")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="How long each action in the panel holds up the application.")
    parser.add_argument("--size", type=int, nargs=3, default=(256, 256, 256), help="voxels of the scan along i, j, k")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of which the best counts")
    parser.add_argument("--float", action="store_true", help="a scan of 32-bit floats instead of 16-bit integers")
    return parser.parse_args(arguments)


def measured(size: tuple[int, int, int], kind: type) -> dict[str, tuple[float, int]]:
    """Seconds of the longest step and turns of the event loop, for each action of one round."""
    from module_case import WorkingCase  # imports what the harness stands for

    found: dict[str, tuple[float, int]] = {}

    class Round(WorkingCase):
        def act(self, what: str, do: Callable[[], Any]) -> None:
            with self.heartbeat() as beats:
                do()
                self.wait(0.2)
                self.made()
            found[what] = (beats.longestWork, beats.count)

        def runTest(self) -> None:
            scan = self.ct("Large", shape=size, spacing=(1.0, 1.0, 1.0), kind=kind)
            self.waitUntil(lambda: self.widget.logic.service.state == "ready", 60.0)
            self.ui.featuresBox.collapsed = False
            self.wait(0.2)
            self.act("choose the scan", lambda: self.ui.sourceSelector.setCurrentNode(scan))
            self.scan = scan
            self.act("choose the domain", lambda: self.session.setDomain("soft-tissue-ct"))
            self.act("add a lesion", lambda: self.session.addPoint(tuple(self.position(scan))))
            key = self.session.lesions.selected
            for milliliters in (2.0, 3.0, 4.0):
                self.act(
                    f"pull the volume to {milliliters:g} mL", lambda to=milliliters: setattr(self.ui.volumeSlider, "value", to)
                )
            for what in ("generate", "keep", "undo", "redo"):
                self.act(what, getattr(self.ui, f"{what}Button").click)
            self.act("add another", lambda: self.session.addPoint(tuple(self.position(scan, "left lung"))))
            self.act("choose the first", lambda: self.session.select(key))

    outcome = unittest.TextTestRunner(verbosity=0, failfast=True).run(unittest.TestSuite([Round()]))
    if not outcome.wasSuccessful():
        sys.exit(1)
    return found


if __name__ == "__main__":
    sys.exit(main())
