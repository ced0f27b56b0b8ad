"""What an audit is and how it runs; names no check."""
