"""Named stores of plain bytes."""
