"""Settings of trainings that take seconds."""

from typing import Any

SMALL: dict[str, Any] = {
    "kimg": 0.32,
    "tick_kimg": 0.08,
    "batch_size": 8,
    "n_critic": 2,
    "network": {"dcgan": {"width": 8}},
    "latent": {"size": 8},
    "grid": {"rows": 1, "columns": 4},
    "threads": 1,
    "precision": "float32",  # auto may decide otherwise at another time
}
