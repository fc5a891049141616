"""Captions in the formats that people have, read one by one."""
