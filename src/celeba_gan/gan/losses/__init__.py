"""Objectives, penalties, and which of them do not go together."""
