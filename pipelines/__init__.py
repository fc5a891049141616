"""The Beam pipelines around the model: preprocess, caption, and the command line."""
