"""Which shapes has the field published? Each by its name, as data, with its source."""
