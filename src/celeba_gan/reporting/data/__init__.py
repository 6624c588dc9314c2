"""The report on the data: counts, findings in words, charts and pictures."""
