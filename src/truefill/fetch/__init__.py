"""Import: bars and side series from elsewhere into hashed, append-only snapshots."""
