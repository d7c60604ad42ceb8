"""Alembic's folder: the steps in versions/ make the tables; run by gateway/store/database.py at every start."""
