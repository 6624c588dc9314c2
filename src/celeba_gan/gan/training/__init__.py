"""The loop, one step, both networks with their optimisers, what is logged."""
