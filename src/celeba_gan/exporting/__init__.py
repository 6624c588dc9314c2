"""A trained generator as a folder for other people: programs, a model card, a page that generates."""
