-- Names joined by blanks.
ALTER TABLE users ADD COLUMN scopes TEXT NOT NULL DEFAULT '';
-- A JSON object: claims of each of the user's tokens.
ALTER TABLE users ADD COLUMN claims TEXT NOT NULL DEFAULT '{}';
