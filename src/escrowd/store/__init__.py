"""Everything that must survive a crash, in SQL: SQLite for one process, PostgreSQL for many."""
