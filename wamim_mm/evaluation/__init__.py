"""How good a frozen encoder is, and how robust a classifier."""
