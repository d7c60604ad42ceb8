"""Switchhook, a voice telephony gateway between carriers' SIP trunks and bots."""

__version__ = "0.1.0"
