"""`python -m pipelines.describe`: what `captioner describe` does."""

import sys

from pipelines.cli import leave, main

leave(main(["describe", *sys.argv[1:]]))
