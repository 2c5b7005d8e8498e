"""The bridge to our own board. Its protocol has not landed yet; see README.md."""
