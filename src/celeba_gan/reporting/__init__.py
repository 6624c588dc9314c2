"""Everything a person reads or looks at."""
