"""One study, from its YAML file to its run folder: what is trained, and what is measured at each stage."""
