"""What stages do at other strengths than their own."""
