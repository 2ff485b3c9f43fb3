"""What the formats of access logs have in common: templates, escapes, and the home of each value in an event."""
