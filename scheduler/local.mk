# scheduler/: pure decisions; nothing to build yet.
