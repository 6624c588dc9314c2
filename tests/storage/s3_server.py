"""Credentials of the S3 server in the tests, which are to be shown nowhere."""

SECRET = "wJalrXUtnFEMI-K7MDENG"
KEY = "AKIAIOSFODNN7EXAMPLE"
