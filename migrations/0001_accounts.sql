-- Browser accounts: the account `kim` owns the sessions of the user `web:kim`. Times are epoch milliseconds.
CREATE TABLE accounts (
  name TEXT NOT NULL PRIMARY KEY,
  -- PHC string: the scrypt parameters stand beside salt and hash.
  password_hash TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  last_login_at INTEGER
) STRICT, WITHOUT ROWID;
