"""The embedded stack: the pip broker and the real Triton as child processes on loopback."""
