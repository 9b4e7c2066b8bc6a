"""Inputs of a recording: samples, given answers, media files."""
