"""What a user's own code is called in records and titles."""


def called(made):
    """The `name` of an object, if it has one in words; else the name of the function or of the class.

    The class of a compiled module is that which was compiled. A lambda has no name: "".
    """
    name = getattr(made, "name", None)
    if isinstance(name, str) and name.strip():
        return " ".join(name.split())
    name = getattr(made, "__name__", None) or getattr(made, "original_name", None) or type(made).__name__
    return "" if name == "<lambda>" else str(name)


def described(objective, given, path):
    """An objective in words: its `description`, its `name`, else the name of the code that it was made by.

    Args:
        given: what a caller from Python passed in place of what the group says, or None.
        path: the `_target_` of the group.
    """
    for words in (getattr(objective, "description", None), getattr(objective, "name", None)):
        if isinstance(words, str) and words.strip():
            return " ".join(words.split())
    return (called(given) if given is not None else str(path).rpartition(".")[2]) or "own objective"
