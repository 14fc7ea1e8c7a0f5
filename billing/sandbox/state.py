"""Every object the sandbox knows: in memory for speed, behind it a SQLite file that survives the process.

Nobody is told of a change that is not on disk: `save` runs before an answer leaves and before a webhook does, and
writes what changed in one SQLite transaction taken as a consistent snapshot, so a kill -9 loses nothing that anybody
knows of, and never half of a request. What nobody waits for (a delivery acknowledged, a clock that ticked) a thread
saves every `FLUSH_SECONDS`; `close` saves the rest.
"""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

Obj = dict[str, Any]

FLUSH_SECONDS = 0.25

# (kind, field) pairs that are looked up by value; everything else is found by id.
INDEXES: dict[str, tuple[str, ...]] = {
    "balance_transaction": ("source", "_account"),
    "charge": ("customer", "payment_intent"),
    "checkout.session": ("customer", "subscription", "payment_intent"),
    "credit_note": ("invoice", "customer"),
    "customer": ("email", "test_clock"),
    "customer_balance_transaction": ("customer",),
    "dispute": ("charge", "payment_intent"),
    "event": ("type",),
    "invoice": ("customer", "_subscription", "status"),
    "invoice_payment": ("invoice", "_payment_intent"),
    "invoiceitem": ("customer", "invoice"),
    "payment_intent": ("customer",),
    "payment_method": ("customer",),
    "price": ("product", "lookup_key"),
    "promotion_code": ("code",),
    "refund": ("charge", "payment_intent"),
    "setup_intent": ("customer",),
    "subscription": ("customer", "test_clock"),
    "transfer": ("destination", "transfer_group"),
    "transfer_reversal": ("transfer",),
    "_delivery": ("event",),
    "_due": ("clock",),
}


class Store:
    """Objects by kind and id, in order of creation, with secondary indexes. Callers hold `lock` around a request."""

    def __init__(self, directory: Path | None) -> None:
        """Open (or create) the state in `directory`; None keeps everything in memory only."""
        self.lock = threading.RLock()
        self._tables: dict[str, dict[str, Obj]] = {}
        self._index: dict[tuple[str, str], dict[Any, dict[str, None]]] = {}
        self._indexed: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._sequence: dict[tuple[str, str], int] = {}
        self._next_sequence = 1
        self._dirty: dict[tuple[str, str], None] = {}
        self._write_lock = threading.Lock()
        self._journal: dict[tuple[str, str], bytes | None] | None = None
        self._stop = threading.Event()
        self._database: sqlite3.Connection | None = None
        self._flusher: threading.Thread | None = None
        if directory is not None:
            self._open(directory)

    def get(self, kind: str, ident: str) -> Obj | None:
        """The object itself (not a copy), or None."""
        obj = self._tables.get(kind, {}).get(ident)
        if self._journal is not None and obj is not None:
            self._note(kind, obj)
        return obj

    def put(self, kind: str, obj: Obj) -> Obj:
        """Store a new object, or tell the store that a known one has changed."""
        ident = obj["id"]
        key = (kind, ident)
        if self._journal is not None and ident not in self._tables.get(kind, {}):
            self._journal.setdefault(key, None)
        self._tables.setdefault(kind, {})[ident] = obj
        if key not in self._sequence:
            self._sequence[key] = self._next_sequence
            self._next_sequence += 1
        self._reindex(kind, ident, obj)
        self._dirty[key] = None
        return obj

    def remove(self, kind: str, ident: str) -> None:
        """Forget an object for good."""
        self.get(kind, ident)
        if self._tables.get(kind, {}).pop(ident, None) is not None:
            self._reindex(kind, ident, None)
            self._dirty[(kind, ident)] = None

    def all(self, kind: str) -> list[Obj]:
        """Objects of a kind, oldest first."""
        return list(self._tables.get(kind, {}).values())

    def newest_first(self, kind: str) -> Iterator[Obj]:
        """Objects of a kind, newest first, without copying the table."""
        return reversed(self._tables.get(kind, {}).values())

    def by(self, kind: str, field: str, value: Any) -> list[Obj]:
        """Objects whose indexed field has this value, oldest first."""
        table = self._tables.get(kind, {})
        found = [table[ident] for ident in self._index.get((kind, field), {}).get(value, ())]
        if self._journal is not None:
            for obj in found:
                self._note(kind, obj)
        return found

    def begin(self) -> None:
        """From here on, remember objects as they were when first touched."""
        self._journal = {}

    def commit(self) -> None:
        """What was done since `begin` stands."""
        self._journal = None

    def rollback(self) -> None:
        """Put everything back as it was at `begin`: what was refused has changed nothing."""
        journal, self._journal = self._journal or {}, None
        for (kind, ident), body in journal.items():
            if body is None:
                self.remove(kind, ident)
            elif body != (msgspec.json.encode(now) if (now := self.get(kind, ident)) is not None else None):
                self.put(kind, msgspec.json.decode(body))

    def _note(self, kind: str, obj: Obj) -> None:
        key = (kind, obj["id"])
        if self._journal is not None and key not in self._journal:
            self._journal[key] = msgspec.json.encode(obj)

    def count(self, kind: str) -> int:
        return len(self._tables.get(kind, {}))

    def kinds(self) -> dict[str, int]:
        """How many objects of each kind there are."""
        return {kind: len(table) for kind, table in sorted(self._tables.items()) if table}

    def clear(self) -> None:
        """Forget everything, on disk too."""
        with self._write_lock, self.lock:
            for container in (self._tables, self._index, self._indexed, self._sequence, self._dirty):
                container.clear()
            if self._database is not None:
                self._database.execute("DELETE FROM objects")
                self._database.commit()

    def save(self) -> int:
        """Write what changed since the last save; how many rows that was. Call without the lock, between requests."""
        with self._write_lock:
            with self.lock:
                if self._database is None or not self._dirty:
                    self._dirty.clear()
                    return 0
                gone, rows = [], []
                for kind, ident in self._dirty:
                    obj = self.get(kind, ident)
                    if obj is None:
                        gone.append((kind, ident))
                        self._sequence.pop((kind, ident), None)
                    else:
                        rows.append((kind, ident, self._sequence[(kind, ident)], msgspec.json.encode(obj)))
                self._dirty.clear()
            with self._database:
                self._database.executemany("DELETE FROM objects WHERE kind = ? AND id = ?", gone)
                self._database.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", rows)
            return len(rows) + len(gone)

    def close(self) -> None:
        """Save the rest and let go of the file."""
        self._stop.set()
        if self._flusher is not None:
            self._flusher.join(timeout=5)
        self.save()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(directory / "sandbox.sqlite3", check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS objects "
            "(kind TEXT, id TEXT, sequence INTEGER, body BLOB, PRIMARY KEY (kind, id))"
        )
        for kind, ident, sequence, body in self._database.execute("SELECT * FROM objects ORDER BY sequence"):
            obj = msgspec.json.decode(body)
            self._tables.setdefault(kind, {})[ident] = obj
            self._sequence[(kind, ident)] = sequence
            self._next_sequence = sequence + 1
            self._reindex(kind, ident, obj)
        self._flusher = threading.Thread(target=self._flush_forever, name="sandbox-state", daemon=True)
        self._flusher.start()

    def _flush_forever(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self.save()

    def _reindex(self, kind: str, ident: str, obj: Obj | None) -> None:
        fields = INDEXES.get(kind)
        if not fields:
            return
        key = (kind, ident)
        new = tuple(obj.get(field) for field in fields) if obj is not None else (None,) * len(fields)
        old = self._indexed.get(key, (None,) * len(fields))
        for field, before, after in zip(fields, old, new, strict=True):
            if before == after:
                continue
            index = self._index.setdefault((kind, field), {})
            if before is not None:
                index.get(before, {}).pop(ident, None)
                if not index.get(before):
                    index.pop(before, None)
            if after is not None:
                index.setdefault(after, {})[ident] = None
        if obj is None:
            self._indexed.pop(key, None)
        else:
            self._indexed[key] = new
