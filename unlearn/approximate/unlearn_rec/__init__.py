"""UnlearnRec: an encoder, trained beforehand, that turns a request into a shift of the first vectors."""
