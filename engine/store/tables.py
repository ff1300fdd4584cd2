"""The tables of the library, in one place.

``seq`` keeps the order of arrival, which is the order of lists; ids are random. What a
media file holds is kept by the hash of its bytes (``records``, ``passages``, ``sketches``)
and shared by all rows that consist of them.
"""

from engine.facts.words import WORDS_TABLE

SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS assets (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    method TEXT NOT NULL,
    status TEXT NOT NULL,
    filename TEXT,
    file_type TEXT,
    created_at TEXT NOT NULL,
    url TEXT,
    sha256 TEXT,
    error_code TEXT,
    error_message TEXT
);
CREATE INDEX IF NOT EXISTS assets_by_content ON assets (sha256);

CREATE TABLE IF NOT EXISTS indexes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    index_name TEXT NOT NULL UNIQUE,
    models TEXT NOT NULL,
    addons TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);

-- Media in an index: indexed assets, and the videos that tasks bring.
CREATE TABLE IF NOT EXISTS indexed (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    index_id TEXT NOT NULL REFERENCES indexes (id) ON DELETE CASCADE,
    asset_id TEXT,
    url TEXT,
    sha256 TEXT,
    status TEXT NOT NULL,
    filename TEXT,
    duration REAL,
    fps REAL,
    width INTEGER,
    height INTEGER,
    size INTEGER,
    user_metadata TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    indexed_at TEXT,
    touched_at TEXT,
    error_code TEXT,
    error_message TEXT
);
CREATE INDEX IF NOT EXISTS indexed_by_index ON indexed (index_id);
CREATE INDEX IF NOT EXISTS indexed_by_content ON indexed (sha256);

-- Who is to be streamed, and where its pieces begin and end once that was found.
CREATE TABLE IF NOT EXISTS video_streams (
    indexed_id TEXT PRIMARY KEY REFERENCES indexed (id) ON DELETE CASCADE,
    pieces TEXT
);

CREATE TABLE IF NOT EXISTS tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    index_id TEXT NOT NULL,
    video_id TEXT NOT NULL,
    status TEXT NOT NULL,
    filename TEXT,
    duration REAL,
    width INTEGER,
    height INTEGER,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    error_code TEXT,
    error_message TEXT
);
CREATE INDEX IF NOT EXISTS tasks_by_video ON tasks (video_id);

-- What was measured in a media file: one JSON object, computed once.
CREATE TABLE IF NOT EXISTS records (sha256 TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS passages (
    rowid INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL,
    kind TEXT NOT NULL,
    start REAL NOT NULL,
    "end" REAL NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS passages_by_content ON passages (sha256);
"""
    + WORDS_TABLE
    + """
-- What a passage means, by the weights that say so; it goes with its passage.
CREATE TABLE IF NOT EXISTS vectors (
    passage INTEGER PRIMARY KEY REFERENCES passages (rowid) ON DELETE CASCADE,
    weights TEXT NOT NULL,
    vector BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS sketches (
    sha256 TEXT NOT NULL,
    start REAL NOT NULL,
    "end" REAL NOT NULL,
    sketch BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS sketches_by_content ON sketches (sha256);

CREATE TABLE IF NOT EXISTS searches (
    id TEXT PRIMARY KEY,
    expires_at TEXT NOT NULL,
    page_limit INTEGER NOT NULL,
    found TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS uploads (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    asset_id TEXT NOT NULL,
    filename TEXT NOT NULL,
    status TEXT NOT NULL,
    total_size INTEGER NOT NULL,
    chunk_size INTEGER NOT NULL,
    total_chunks INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS chunks (
    upload_id TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    chunk_index INTEGER NOT NULL,
    etag TEXT NOT NULL,
    size INTEGER NOT NULL,
    reported INTEGER NOT NULL DEFAULT 0,
    uploaded_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (upload_id, chunk_index)
);

CREATE TABLE IF NOT EXISTS analyze_tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    asked TEXT NOT NULL,
    sha256 TEXT,
    created_at TEXT NOT NULL,
    completed_at TEXT,
    result TEXT,
    error TEXT
);

CREATE TABLE IF NOT EXISTS embed_tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL,
    status TEXT NOT NULL,
    asked TEXT NOT NULL,
    sha256 TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    result TEXT,
    error TEXT
);

CREATE TABLE IF NOT EXISTS entity_collections (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS entities (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    collection_id TEXT NOT NULL REFERENCES entity_collections (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT,
    metadata TEXT,
    asset_ids TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, secret BLOB NOT NULL);
"""
)

# Bytes that any of these rows consists of are kept.
REFERENCES = """
SELECT sha256 FROM assets WHERE sha256 IS NOT NULL
UNION SELECT sha256 FROM indexed WHERE sha256 IS NOT NULL
UNION SELECT sha256 FROM analyze_tasks WHERE sha256 IS NOT NULL
UNION SELECT sha256 FROM embed_tasks WHERE sha256 IS NOT NULL
"""
