"""The ends: one folder for each kind of instrument or link. Knows no stage of the gateway."""
