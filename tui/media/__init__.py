"""What a prompt shows and sounds like: found in the reader's folder, decoded, drawn, played."""
