"""The configuration as controls: made from its fields, so that a new field is a new control."""
