"""`captioner describe`: what is in a dataset, counted, printed and drawn."""
