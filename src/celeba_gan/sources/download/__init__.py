"""Downloading CelebA."""
