"""Network layers whose sums are exact on every machine."""
