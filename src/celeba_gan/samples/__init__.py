"""Sampled images on disk: any number of them, in several formats, with a table from which each can be made again."""
