"""The media of a prompt: decoded from the user's folder, drawn with heat maps, played."""
