"""The data behind the cards, the search and the views of the page, as one JSON text."""
