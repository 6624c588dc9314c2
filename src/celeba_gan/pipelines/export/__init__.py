"""The export: a generator as a folder for other people. No stage of the line."""
