from hypothesis import settings

# One profile everywhere: no deadline (a slow machine must not fail a test), the same examples at every run.
settings.register_profile("nucleate", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("nucleate")
