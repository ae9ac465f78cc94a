"""A local worker of a batch, ``python -m TumorSynthLib.batch_guard FOLDER TOKEN NUMBER -m TumorSynthLib.worker ...``.

It is the worker of the arguments' end, which holds a lock for as long as it lives, so that the next batch in the same folder
can wait until it is gone. A worker of a batch that is not there any more does not start.
"""

import sys
from pathlib import Path

from TumorSynthLib.batch_claim import LEFTOVER_SECONDS, is_current, seat_lock
from TumorSynthLib.worker import main as work


def main() -> None:
    """Hold the lock, and be the worker."""
    folder, token, number, *rest = sys.argv[1:]
    lock = seat_lock(Path(folder), int(number))
    if not lock.wait(LEFTOVER_SECONDS):  # of the one before on this seat, which has been killed
        sys.exit("The worker before does not end.")
    if not is_current(Path(folder), token):
        sys.exit("The batch is over.")
    sys.argv = ["TumorSynthLib.worker", *rest[rest.index("TumorSynthLib.worker") + 1 :]]
    work()


if __name__ == "__main__":
    main()
