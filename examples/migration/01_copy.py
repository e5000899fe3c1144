"""From a dbm file to a store: copied, compared, and read by the code that was there."""

import dbm.dumb

import holdfast.sync
from holdfast.stores.migration import StoreMapping


def main() -> None:
    with dbm.dumb.open("words", "c") as old:
        old[b"be"] = b"2"
        old[b"not"] = b"1"
        old[b"to"] = b"2"

    with holdfast.sync.open("sqlite:///words.db") as db:
        words = db.stores.open("words")
        table = StoreMapping(words)
        with dbm.dumb.open("words", "r") as old:
            table.update(old)
            print("copied:", len(table), "the same:", dict(table) == dict(old.items()))

        # Code that wants a mapping goes on as it is; new code has ranges and transactions.
        table["question"] = "1"
        print("by the old names:", sorted(table))
        print("by the new ones:", [key for key, _ in words.iterate_range(b"n", b"q")])


main()
