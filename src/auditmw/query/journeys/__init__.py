"""What users do one after the other: funnels, retention, conversion and paths."""
