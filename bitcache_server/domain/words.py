"""Numbers in sentences."""


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 merchant``, ``2 merchants``, ``1,200 entries``.

    ``many`` is the plural of a noun that does not take an s.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
