"""Kills, full disks, damaged files and lost servers: what every fault costs, by the real `kedro run`.

Of an undisturbed run of the smoke preset, a copy of data/ is kept after each stage. Each fault then begins from such a
copy and is injected into the same command. Afterwards every file in data/ that has its final name is read; then the
same command runs again, and every value of every file must be that of the undisturbed run: weights, pixels, samples,
numbers. One line per kind of fault says how many were injected and survived. Exits with 1 if one was not survived.

    python benchmarks/faults.py --kills 15 --jobs 2
    python benchmarks/faults.py --only full_disk read_only --seed 7
"""

import argparse
import random
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fault_kinds import KINDS, Case, Kind, NotHereError, TooLateError
from fault_project import FaultError, Project, Undisturbed
from machine import describe


@dataclass
class Tally:
    """What became of the faults of one kind."""

    injected: int = 0
    survived: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    skipped: str = ""


def inject(kind: Kind, count: int, seed: int, undisturbed: Undisturbed, folder: Path) -> Tally:
    """Injects a kind of fault so many times into one project, one after the other."""
    project = Project.make(folder)
    project.data.mkdir()
    tally, began, attempt = Tally(), time.monotonic(), 0
    while tally.injected < count and attempt < 3 * count:
        draw = random.Random(f"{seed} {kind.name} {attempt}")
        attempt += 1
        try:
            note = kind.inject(Case(project, undisturbed, draw, attempt - 1))
        except TooLateError:  # the command had ended before the fault
            continue
        except NotHereError as error:
            tally.skipped = str(error)
            break
        except FaultError as error:
            tally.failures.append(f"{kind.name} {attempt - 1}: {error}")
        except Exception:  # a mistake of this script, or a file that it cannot read: count it as a fault, go on
            tally.failures.append(f"{kind.name} {attempt - 1}: {traceback.format_exc()}")
        else:
            tally.survived += 1
            if note:
                tally.notes.append(note)
        tally.injected += 1
    tally.seconds = time.monotonic() - began
    return tally


def show(kind: Kind, tally: Tally) -> None:
    """Prints the line of a kind, and below it what went wrong."""
    if tally.skipped:
        print(f"{kind.name:22} skipped: {tally.skipped}", flush=True)
        return
    notes = "; ".join(sorted({f"{tally.notes.count(note)}x {note}" for note in tally.notes}))
    counts = f"{tally.injected:4} injected {tally.survived:4} survived {tally.seconds:6.0f} s"
    print(f"{kind.name:22} {counts}  {kind.what}{f' ({notes})' if notes else ''}", flush=True)
    for failure in tally.failures:
        print(f"    NOT SURVIVED: {failure}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=15, metavar="N", help="kill -9 so many times in each stage; 15")
    parser.add_argument("--others", type=int, metavar="N", help="so many of each other kind; default: its own number")
    parser.add_argument("--only", nargs="+", choices=[kind.name for kind in KINDS], metavar="KIND",
                        help=f"kinds of faults, of {', '.join(kind.name for kind in KINDS)}; default: all")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and places; 0")
    parser.add_argument("--jobs", type=int, default=2, help="kinds that are injected at the same time; 2")
    arguments = parser.parse_args()
    kinds = [kind for kind in KINDS if not arguments.only or kind.name in arguments.only]
    print(describe(), flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as temporary:
        root = Path(temporary).resolve()
        undisturbed = Undisturbed.make(root / "undisturbed")
        times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in undisturbed.seconds.items())
        print(f"undisturbed: {times}", flush=True)
        lock, tallies = threading.Lock(), []

        def work(kind: Kind) -> None:
            count = arguments.kills if kind.is_kill else arguments.others or kind.count
            tally = inject(kind, count, arguments.seed, undisturbed, root / kind.name / "after")
            with lock:
                show(kind, tally)
                tallies.append(tally)

        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(work, kinds))
    injected, survived = (sum(getattr(tally, name) for tally in tallies) for name in ("injected", "survived"))
    print(f"{injected} injected, {survived} survived, in {(time.monotonic() - began) / 60:.0f} minutes")
    sys.exit(injected != survived)


if __name__ == "__main__":
    main()
