"""HTTP as all products use it: deadlines, throttle, tokens, and failures in plain words."""
