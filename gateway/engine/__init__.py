"""The one asyncio driver around the core: it carries out commands on ports and feeds back what happened."""
