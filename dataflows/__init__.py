"""What flows where; the only room that imports Bytewax."""
