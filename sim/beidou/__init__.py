"""Beidou short messages from the other side of the wire: terminals, their cards, the satellite between them."""
