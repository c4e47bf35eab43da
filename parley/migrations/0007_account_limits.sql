-- What an account may do, where it differs from what the settings say for all: JSON, see auth/limits.
ALTER TABLE account ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
