"""A few faults of `benchmarks/faults.py`, by the real `kedro run`; that script injects many, of more kinds."""

import random
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from fault_kinds import KINDS, Case, Kind, NotHereError, TooLateError
from fault_project import Project, Undisturbed

pytestmark = pytest.mark.slow  # commands of several seconds each

NAMES = ("kill_training", "terminate_in_save", "damaged_snapshot", "damaged_shard", "full_disk")
SHORT = [kind for kind in KINDS if kind.name in NAMES]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed.make(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.xdist_group("faults")
@pytest.mark.parametrize("kind", SHORT, ids=lambda kind: kind.name)
def test_a_fault_is_survived(kind: Kind, undisturbed: Undisturbed, tmp_path: Path) -> None:
    project = Project.make(tmp_path / "after")
    project.data.mkdir()
    for attempt in range(5):
        try:
            kind.inject(Case(project, undisturbed, random.Random(f"{kind.name} {attempt}"), 1))
            return
        except TooLateError:
            continue
        except NotHereError as error:
            pytest.skip(str(error))
    pytest.fail("the command always ended before the fault")
