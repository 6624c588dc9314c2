"""DiffAugment, ADA and its controller."""
