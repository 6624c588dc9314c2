"""Device, precision, compilation, signals."""
