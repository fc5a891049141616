"""Pictures inside archive files: listed and read in place, never extracted."""
