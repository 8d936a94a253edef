"""Two finished runs side by side: two readers, two months, or two populations."""
