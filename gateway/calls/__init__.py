"""The core: one call as a pure state machine; events in, commands out, time as an argument, no I/O."""
