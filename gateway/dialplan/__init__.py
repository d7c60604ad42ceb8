"""The dialplan, pure: which trunk a call came on, where it goes, and what the operator wrote wrong; used above."""
