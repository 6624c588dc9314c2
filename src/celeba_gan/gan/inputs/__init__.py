"""What the networks are given: images, labels, random draws."""
