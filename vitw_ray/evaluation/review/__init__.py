"""Labels by people: a sample with known probabilities, a page to label it, and what labels show."""
