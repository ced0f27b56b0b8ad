"""What CI systems read: SARIF, GitHub's workflow commands and step summary, GitLab's code quality report."""
