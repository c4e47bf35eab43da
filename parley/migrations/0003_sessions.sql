-- Past sessions. What was said is in session_words, and only where recording was switched on.

-- One row per session, written again while it lives: `saved_at` says until when it is known to have lived.
CREATE TABLE session_record (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    call_id TEXT,
    model TEXT NOT NULL,
    record TEXT NOT NULL CHECK (record IN ('off', 'transcripts', 'audio')),
    opened_at BIGINT NOT NULL,
    ended_at BIGINT,
    saved_at BIGINT NOT NULL,
    turns BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    sound TEXT NOT NULL CHECK (sound IN ('none', 'live', 'whole', 'incomplete')),
    sound_ms BIGINT NOT NULL
);

CREATE INDEX session_record_account ON session_record (account, opened_at, id);
CREATE INDEX session_record_opened ON session_record (opened_at);

-- JSON: figures of the turns, sums of their usage.
CREATE TABLE session_figures (
    id TEXT PRIMARY KEY,
    turns TEXT NOT NULL,
    usage TEXT NOT NULL
);

-- JSON: what both sides said; and the loudness of both, for a picture.
CREATE TABLE session_words (
    id TEXT PRIMARY KEY,
    lines TEXT NOT NULL,
    cut BIGINT NOT NULL CHECK (cut IN (0, 1)),
    peaks TEXT NOT NULL
);
