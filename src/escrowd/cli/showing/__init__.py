"""What the commands show: tables for people and JSON for programs, made from values, without I/O."""
