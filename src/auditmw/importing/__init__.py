"""Import of access logs: from files, pipes and rotated copies into the journal, each line once."""
