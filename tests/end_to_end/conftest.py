"""What the pipelines' tests share, for the tests of whole runs."""

from pipeline_builders import archive, captioned, captions, preprocessed, tiny_bundle

__all__ = ["archive", "captioned", "captions", "preprocessed", "tiny_bundle"]
