"""Features for distances: the attribute classifier, Inception, a user's ONNX file; and their cache."""
