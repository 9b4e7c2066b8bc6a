"""The media that a recording refers to: their files found again, and FFmpeg's frames and samples.

Nothing is imported here: decoding needs PyAV, which only those who decode have.
"""
