"""What a run will take, said before it starts: rows, tokens, time, storage, requests, money."""
