"""What several rooms share: pixel conversion, precision, atomic files, settings, words for people."""
