"""Who looks fake: detectors without labels."""
