"""What the upstream says and is asked: lines, events, states, the text log, requests."""
