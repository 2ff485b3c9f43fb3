"""Formats of events outside of auditmw, one file each, pure: event <-> bytes."""
