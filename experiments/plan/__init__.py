"""What a study would train and measure, and what that would take."""
