"""Every family of models at toy size, held to the same claims; those that hold are the table."""
