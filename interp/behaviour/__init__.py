"""What a model does, as opposed to what its activations show."""
