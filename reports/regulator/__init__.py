"""The report for auditors and regulators: one document, as PDF and as a page."""
