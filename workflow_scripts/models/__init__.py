"""One module per model family, all behind the interface in models/interface.py."""
