-- What an account may enter, as a JSON list of grants; NULL is what WEB_GRANTS says.
ALTER TABLE accounts ADD COLUMN grants TEXT;
-- 1: nobody can log in with it.
ALTER TABLE accounts ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
-- Grows when the password, the grants or `disabled` change, so that a login which began before it does not come to its end.
ALTER TABLE accounts ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
