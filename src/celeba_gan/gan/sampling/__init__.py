"""A trained generator: sampling, labels."""
