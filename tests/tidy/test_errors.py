"""The error catalogue: one class per code, each explained."""

from collections import Counter

from holdfast.contract import errors


def classes(base: type[errors.StoreError] = errors.StoreError) -> list[type[errors.StoreError]]:
    below = [found for child in base.__subclasses__() for found in classes(child)]
    # Tests elsewhere may derive their own; the catalogue is one package.
    return [found for found in (base, *below) if found.__module__.startswith(errors.__name__ + ".")]


def test_every_code_has_one_class() -> None:
    # Below a class that has a code, a refinement may share it; the catalogue names one per code.
    declared = Counter(found.code for found in classes() if "code" in vars(found))
    assert declared == Counter(dict.fromkeys(errors.ErrorCode, 1))
    assert errors.StoreError.by_code.keys() == set(errors.ErrorCode)


def test_every_class_says_what_happened() -> None:
    silent = [found.__name__ for found in classes() if not (found.__doc__ or "").strip()]
    assert not silent, f"say what happened, in one line: {silent}"
    texts = Counter((found.__doc__ or "").strip() for found in classes())
    assert texts.most_common(1)[0][1] == 1, "two errors with one explanation are one error"


def test_names_need_no_suffix() -> None:
    suffixed = [
        found.__name__
        for found in classes(errors.StoreError)
        if found is not errors.StoreError and found.__name__.endswith("Error")
    ]
    assert not suffixed, f"`except Conflict` reads better: {suffixed}"
