"""From frames to reads: capture, detect, track, recognise."""
