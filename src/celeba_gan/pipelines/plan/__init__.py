"""The plan: what a training will be. No stage of the line; it writes nothing."""
