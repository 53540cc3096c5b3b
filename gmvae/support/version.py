"""The version: this line is where it is written, and everything else reads it."""

VERSION = "0.1.0"
