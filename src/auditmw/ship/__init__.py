"""Shipping: every event of a journal into another system, at least once, and exactly once where that one allows it."""
