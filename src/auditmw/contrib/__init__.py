"""What each framework alone knows."""
