"""What a user brings: samples, given answers, media files; and which of them are asked for."""
