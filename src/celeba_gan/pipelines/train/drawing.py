"""What kedro-viz shows of a training beside its code."""

from typing import Final

from kedro.pipeline.preview_contract import MermaidPreview

_TRAINING: Final = """
flowchart TD
    reals[real images, cropped and mirrored] --> critic
    latents[random latents] --> generator[generator] --> fakes[fake images] --> critic
    critic["discriminator step, n_critic times:<br/>objective + penalties"] --> step
    step["generator step:<br/>objective"] --> average["average of the generator (EMA)"]
    average -->|until the next tick| reals
    average -->|every tick_kimg| tick["metric row and sample grid,<br/>drawn with the average"]
    tick -->|every evaluate_every_kimg| measured["distance to valid images:<br/>is this the best so far?"]
    tick --> snapshot["snapshot: from here training resumes, bit for bit"]
    measured --> snapshot
"""


def draw_training() -> MermaidPreview:
    """One iteration of training, and what happens at a tick, as a flow chart. The names are those of `train.`."""
    return MermaidPreview(_TRAINING.strip())
