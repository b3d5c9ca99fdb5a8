"""One program for each rule or command: a typed function that reads, calls one room, and writes atomically."""
