"""The embedded Reber grammar as a regular expression."""

# The drawing in generators/reber.py, read off by hand: from 3 on, and then the whole.
LATER = "T*V(?:PXT*V)*(?:V|PS)"
REBER = f"B(?:TS*X(?:S|X{LATER})|P{LATER})E"
EMBEDDED = f"B(?:T{REBER}T|P{REBER}P)E"
