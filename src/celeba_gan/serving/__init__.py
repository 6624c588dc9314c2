"""A generator behind a web address: rows of a request in, pictures out."""
