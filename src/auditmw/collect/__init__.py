"""Many hosts, one archive: what they ship to a stream becomes the journal of one audit directory, each event once."""
