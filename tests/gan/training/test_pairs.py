"""Every pair of choices: refused with its reason, or trained, and resumed to the same bits.

A covering array: few rows of settings in which each pair of values of two different choices occurs at least once. A
pair that occurs in no row that is allowed is one that `combinations.REFUSED` refuses.
"""

import copy
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from celeba_gan.gan.inputs.conditions import Conditions
from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.losses.combinations import REFUSED
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import Tick, train

Row = dict[str, str]
Pair = tuple[tuple[str, str], tuple[str, str]]
CHOICES: dict[str, dict[str, Any]] = {
    "objective": {
        name: {"objective": {"name": name}} for name in ("minimax", "non_saturating", "wgan", "lsgan", "hinge", "rpgan")
    },
    "gradient_penalty": {
        "off": {"penalty": {"gradient_penalty": {"weight": 0}}},
        "two-sided": {"penalty": {"gradient_penalty": {"weight": 10}}},
        "one-sided": {"penalty": {"gradient_penalty": {"weight": 3, "target": 0.5, "one_sided": True}}},
    },
    "r1": {"off": {}, "on": {"penalty": {"r1": {"weight": 1}}}},
    "r2": {"off": {}, "on": {"penalty": {"r2": {"weight": 1}}}},
    "drift": {"off": {}, "on": {"penalty": {"drift": {"weight": 0.001}}}},
    "every": {"1": {}, "2": {"penalty": {"every": 2}}},
    "network": {
        "dcgan": {"network": {"dcgan": {"width": 4, "max_width": 8}}},
        "resnet": {"network": {"name": "resnet", "resnet": {"width": 4, "max_width": 8}}},
        "resnet without norms": {
            "network": {
                "name": "resnet",
                "resnet": {"width": 4, "max_width": 8, "generator_norm": "none", "discriminator_norm": "none"},
            }
        },
        "r3": {"network": {"name": "r3", "r3": {"width": 4, "max_width": 8, "group_size": 4, "blocks": 1}}},
    },
    "spectral_norm": {"off": {}, "on": {"network": {"spectral_norm": True}}},
    "weight_clip": {"off": {}, "on": {"weight_clip": 0.05}},
    "augment": {
        "none": {},
        "diffaugment": {"augment": {"name": "diffaugment"}},
        "ada": {"augment": {"name": "ada", "ada": {"p": 0.5}}},
        "steered ada": {"augment": {"name": "ada", "ada": {"interval": 1, "speed_kimg": 0.02}}},
    },
    "n_critic": {"1": {"n_critic": 1}, "2": {"n_critic": 2}},
    "micro_batch": {"none": {}, "2": {"micro_batch": 2}},
    "clip_gradient_norm": {"none": {}, "0.1": {"clip_gradient_norm": 0.1}},
    "latent": {"normal": {}, "uniform": {"latent": {"distribution": "uniform"}}},
    "condition": {"none": {}, "class": {"condition": {"name": "class"}}},
    "precision": {"float32": {"precision": "float32"}, "bfloat16": {"precision": "bfloat16"}},
}
CLASSES = Conditions("class", ("even", "odd"), np.arange(100) % 2)


PLAIN = {choice: next(iter(values)) for choice, values in CHOICES.items()}


def merge(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    both = {key: merge(first[key], second[key]) for key in first.keys() & second.keys() if isinstance(first[key], dict)}
    return first | second | both


def settings_of(row: Row) -> TrainSettings:
    """Two ticks of one iteration each.

    Raises:
        ValidationError: The row is refused.
    """
    iteration = 4 * int(row["n_critic"]) / 1000
    values: dict[str, Any] = {
        "kimg": 2 * iteration,
        "tick_kimg": iteration,
        "batch_size": 4,
        "latent": {"size": 4},
        "grid": {"rows": 1, "columns": 2},
        "threads": 1,
    }
    for choice, value in row.items():
        values = merge(values, CHOICES[choice][value])
    return TrainSettings.model_validate(values)


def pairs_of(row: Row) -> Iterator[Pair]:
    return combinations(row.items(), 2)


def is_allowed(row: Row) -> bool:
    """Whether the choices can be completed: all others off, or with one bound or another on the critic."""
    bounds: tuple[Row, ...] = ({"r1": "on"}, {"gradient_penalty": "two-sided"}, {"spectral_norm": "on"})
    for bound in bounds:
        try:
            settings_of(PLAIN | bound | row)
        except ValidationError:
            continue
        return True
    return False


def covering_rows() -> tuple[list[Row], list[Pair]]:
    """Rows that cover all pairs, greedily; and the pairs of which no row can be made."""
    rng, choices = random.Random(0), list(CHOICES)
    missing = {
        ((a, first), (b, second)): None
        for a, b in combinations(choices, 2)
        for first, second in product(CHOICES[a], CHOICES[b])
    }  # a dict keeps its order, whatever the hashes
    refused = [pair for pair in missing if not is_allowed(dict(pair))]
    for pair in refused:
        del missing[pair]
    rows = []
    while missing:
        row: Row = dict(next(iter(missing)))
        for choice in rng.sample(choices, len(choices)):
            if choice not in row:
                allowed = [value for value in CHOICES[choice] if is_allowed({**row, choice: value})]
                row[choice] = max(
                    allowed, key=lambda value: sum(pair in missing for pair in with_each(row, choice, value))
                )
        rows.append({choice: row[choice] for choice in choices})
        for pair in pairs_of(rows[-1]):
            missing.pop(pair, None)
    return rows, refused


def with_each(row: Row, choice: str, value: str) -> Iterator[Pair]:
    """The pairs of a value with those of the row, each in the order of the choices."""
    order = list(CHOICES).index
    for other in row.items():
        yield (other, (choice, value)) if order(other[0]) < order(choice) else ((choice, value), other)


ROWS, REFUSED_PAIRS = covering_rows()


def run(images: TrainingImages, row: Row, resumed: Snapshot | None = None) -> list[Tick]:
    """All ticks, with copies of their tensors: a tick's own are live."""
    conditions = CLASSES if row["condition"] == "class" else None
    ticks = train(images, settings_of(row), resumed, conditions=conditions)
    return [replace(tick, snapshot=copy.deepcopy(tick.snapshot)) for tick in ticks]


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=pytest.mark.slow if number % 2 else []) for number, row in enumerate(ROWS)],
    ids=["-".join(row.values()) for row in ROWS],
)
def test_what_is_allowed_trains_and_resumes_to_the_same_bits(
    images_at: Callable[[int], TrainingImages], row: Row
) -> None:
    images = images_at(16 if row["network"] == "dcgan" else 32)
    start, middle, end = run(images, row)
    terms = middle.rows[0]
    assert all(math.isfinite(value) for tick in (middle, end) for value in tick.rows[0].values())
    assert {name for name in ("gradient_penalty", "r1", "r2", "drift") if name in terms} == {
        name for name in ("gradient_penalty", "r1", "r2", "drift") if row[name] != "off"
    }
    assert ("augment_p" in terms) == (row["augment"] == "steered ada")
    for before, after in ((start, middle), (middle, end)):
        for network in ("generator.", "discriminator.", "average."):
            names = [name for name in before.snapshot.tensors if name.startswith(network)]
            assert any(not torch.equal(before.snapshot.tensors[name], after.snapshot.tensors[name]) for name in names)
    (resumed,) = run(images, row, middle.snapshot)
    assert resumed.snapshot.card == end.snapshot.card
    assert resumed.snapshot.tensors.keys() == end.snapshot.tensors.keys()
    different = [
        name for name, value in resumed.snapshot.tensors.items() if not torch.equal(value, end.snapshot.tensors[name])
    ]
    assert not different


def test_no_pair_is_left_out() -> None:
    seen = {pair for row in ROWS for pair in pairs_of(row)} | set(REFUSED_PAIRS)
    values = [len(choice) for choice in CHOICES.values()]
    assert len(seen) == sum(a * b for a, b in combinations(values, 2))


def test_only_pairs_in_the_table_are_refused_and_with_its_reason() -> None:
    expected = {
        (("gradient_penalty", "two-sided"), ("weight_clip", "on")): "weight_clip with penalty.gradient_penalty",
        (("gradient_penalty", "one-sided"), ("weight_clip", "on")): "weight_clip with penalty.gradient_penalty",
        (("spectral_norm", "on"), ("weight_clip", "on")): "weight_clip with network.spectral_norm",
    }
    assert set(REFUSED_PAIRS) == set(expected)
    for pair, what in expected.items():
        (refusal,) = (refusal for refusal in REFUSED if refusal.what == what)
        with pytest.raises(ValidationError) as raised:
            settings_of(PLAIN | dict(pair))
        assert f"{refusal.what}: {refusal.why}; {refusal.way_out}" in str(raised.value)
