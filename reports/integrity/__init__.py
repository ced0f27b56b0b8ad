"""What shows that a run folder is as it was signed: its manifest, its signature, and their verification."""
