"""From text and numbers to styled cells: layout, colours, rows, pictures. Knows no trace."""
