"""What CelebA is on disk, and the synthetic portraits that look like it."""
