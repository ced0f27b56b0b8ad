"""LoRec: a calibrator reads the victim's own states, tied to texts, and lowers the weight of suspicious accounts."""
