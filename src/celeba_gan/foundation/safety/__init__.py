"""What keeps a stranger's files from running code, and secrets from getting out."""
