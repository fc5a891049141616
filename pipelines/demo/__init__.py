"""A demonstration on drawn scenes, whose true captions are known."""
