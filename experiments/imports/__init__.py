"""Results that others have published, as metrics of this project."""
