import json
import sys
from hashlib import sha256
from pathlib import Path

receipt = json.loads(Path(sys.argv[1]).read_text())
size, root = int(sys.argv[2]), bytes.fromhex(sys.argv[3])
row, number = bytes.fromhex(receipt["row"]), receipt["number"]
place = receipt["revision"].to_bytes(8, "big") + receipt["index"].to_bytes(4, "big")
found, last = sha256(b"\0" + row).digest(), size - 1
for other in map(bytes.fromhex, receipt["path"]):
    if number & 1 or number == last:
        found = sha256(b"\1" + other + found).digest()
        while not number & 1 and number:
            number, last = number >> 1, last >> 1
    else:
        found = sha256(b"\1" + found + other).digest()
    number, last = number >> 1, last >> 1
holds = last == 0 and found == root and row.startswith(place)
sys.exit(0 if holds else "the receipt does not hold")
