"""Adding and ablating directions: the treatments, and what a treated model then says."""
