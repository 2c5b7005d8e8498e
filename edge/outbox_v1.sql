-- The outbox, version 1 (PRAGMA user_version). One writer, one connection; see edge/outbox.py.

-- One row: who this store is, and the account. taken = settled + folded + evicted + held, at every commit.
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,             -- random 32 bits, new with each new store
    counter_high INTEGER NOT NULL,      -- packet counters below this may have been used
    taken_entries INTEGER NOT NULL DEFAULT 0,
    taken_readings INTEGER NOT NULL DEFAULT 0,
    settled_entries INTEGER NOT NULL DEFAULT 0,
    settled_readings INTEGER NOT NULL DEFAULT 0,
    folded_entries INTEGER NOT NULL DEFAULT 0,   -- a summary, which is an entry too, stands for them
    folded_readings INTEGER NOT NULL DEFAULT 0,
    evicted_entries INTEGER NOT NULL DEFAULT 0,
    evicted_readings INTEGER NOT NULL DEFAULT 0,
    adopted_entries INTEGER NOT NULL DEFAULT 0,  -- of the taken ones: salvaged from an earlier store, or from memory
    running BLOB NOT NULL DEFAULT x''   -- edge/ledger.py: the running day, bytes by level, evictions by reason
);

-- What became of the rounds of each other day, group by group; edge/ledger.py.
CREATE TABLE ledger (
    day INTEGER NOT NULL,               -- days since 1970; 0 without a time, 1 summed up
    sheet INTEGER NOT NULL,
    grp INTEGER NOT NULL,
    tally BLOB NOT NULL,                -- CBOR
    PRIMARY KEY (day, sheet, grp)
) WITHOUT ROWID;

-- What packets assume of the site. Entries point here, so an entry can be understood after the site file changed.
CREATE TABLE sheet (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,             -- the epoch whose seq the entries of this sheet carry
    body BLOB NOT NULL
);

-- One row for each entry the province has not yet receipted.
CREATE TABLE entry (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,       -- never a bare rowid: those are used again when the queue empties
    kind INTEGER NOT NULL,              -- edge.contract.Kind
    sheet INTEGER NOT NULL,
    grp INTEGER NOT NULL,               -- rounds and summaries: the group of points; else 0
    at_ms INTEGER NOT NULL,             -- UTC; ms since boot while clock = 2; of summaries, where the first window starts
    clock INTEGER NOT NULL,             -- edge.contract.ClockQuality
    boot INTEGER,                       -- which boot, while clock = 2
    readings INTEGER NOT NULL,
    body BLOB NOT NULL,
    origin_seq INTEGER,                 -- adopted from another store: its seq there, in the epoch of its sheet
    window_s INTEGER NOT NULL DEFAULT 0 -- summaries: the length of their windows
);
-- Rounds and summaries can be a million: they are walked by seq. All else is few.
CREATE INDEX entry_first ON entry (kind, seq) WHERE kind <> 0 AND kind <> 5;
CREATE INDEX entry_summary ON entry (window_s, seq) WHERE window_s > 0;
CREATE UNIQUE INDEX entry_adopted ON entry (origin_seq, sheet) WHERE origin_seq IS NOT NULL;
CREATE INDEX entry_undated ON entry (boot) WHERE clock = 2;

-- Where each limit stands, so that a restart neither repeats an alarm nor forgets its end.
CREATE TABLE limit_now (
    id TEXT PRIMARY KEY,
    level INTEGER NOT NULL,
    value INTEGER,
    at_ms INTEGER NOT NULL
);

-- What is done in steps, and how far it is (CBOR): edge/outbox_eras.py, outbox_write.py (dating), salvage_steps.py.
CREATE TABLE IF NOT EXISTS under_way (
    name TEXT PRIMARY KEY,
    body BLOB NOT NULL
) WITHOUT ROWID;

-- What limits were told since all that they know was written to a file of its own: edge/limit_tail.py.
CREATE TABLE IF NOT EXISTS limit_tail (
    number INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);

-- By which clocks the time of a standing was taken: how long ago it was is not known by UTC alone. And what is told by
-- its level and value: the level that stands while the shelf holds it back, and what the value counts.
CREATE TABLE IF NOT EXISTS limit_told (
    id TEXT PRIMARY KEY,
    boot INTEGER NOT NULL,
    monotonic_ms INTEGER NOT NULL,
    clock INTEGER NOT NULL,
    level INTEGER,                      -- NULL: as in limit_now
    scale TEXT NOT NULL                 -- step and unit; '': not known
);

-- The last alarms, as they were told on the spot: edge/alarm_past.py.
CREATE TABLE IF NOT EXISTS alarm_past (
    number INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);
