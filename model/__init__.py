"""The captioning model: image encoder, decoder, samplers, trainer, evaluation and export.

Nothing here imports Apache Beam, TensorFlow Transform or ``pipelines``; importing this package
imports no framework at all.
"""
