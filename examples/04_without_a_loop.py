"""The same without an event loop: in scripts, threads and notebooks."""

import holdfast.sync

with holdfast.sync.open("sqlite:///notes.db") as db:
    db.entries.set("notes:hello", {"text": "hi"}, ttl=3600, tags=["greeting"])
    db.entries.set("notes:bye", {"text": "see you"})
    for entry in db.entries.items("notes/#"):
        print(entry.key, entry.value, "expires", entry.metadata.expires_at)
    print("tagged:", [str(entry.key) for entry in db.entries.find_by_tag("greeting")])
    with db.transaction() as transaction:
        transaction.entries.set("notes:hello", {"text": "hello"})
        transaction.entries.delete("notes:bye")
    print(db.entries.count(), "left")
