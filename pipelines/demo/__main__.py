"""`python -m pipelines.demo`: what `captioner demo` does."""

import sys

from pipelines.cli import leave, main

leave(main(["demo", *sys.argv[1:]]))
