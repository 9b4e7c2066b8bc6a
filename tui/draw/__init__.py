"""From text and numbers to styled cells: layout, colours, rows, images. Knows no trace."""
