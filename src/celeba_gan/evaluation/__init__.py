"""How good a generator is: metrics that say how they were measured."""
