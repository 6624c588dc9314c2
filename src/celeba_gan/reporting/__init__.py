"""What a person sees of an evaluation: the page, its words and its charts, as functions of plain data."""
