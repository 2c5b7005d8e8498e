"""The gateway: everything between a sensor's wire and the province. Knows no instrument's protocol."""
