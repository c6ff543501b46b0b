"""The behaviour measures by name, how they are taken of a model, and the judge that grades answers."""
