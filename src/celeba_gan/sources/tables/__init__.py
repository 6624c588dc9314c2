"""Tables about images: CelebA's text files and `attributes.csv`."""
