"""Where photographs come from: CelebA, any folder or zip, and the index of what is usable."""
