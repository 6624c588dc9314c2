"""Photographs that lie elsewhere: in folders and zips on any file system of fsspec."""
